/*
 * The accelerator: scans the bodies of responses, and accepts those in which there is nothing to find.
 *
 * A Scanner is made from an edition's layout (accelerator.py). It takes a body apart in one pass and accepts it only
 * where every key, type, limit and value is as documented, no key stands twice, and the text is plain: strings without
 * escapes, integers without fraction or exponent, within 64 bits. Whatever else it meets it refuses, without saying
 * more than whether a key was repeated, and the reader in Python judges the body from its first byte. So a mistake in
 * here can cost time. It must never cost a finding: tests and `make fuzz` compare the two readers for that.
 *
 * Counters are handed out as objects of a type of their own, which acts as a tuple of integers and is an array: nothing
 * else of a sample is as large, and as integers of Python's they would take five times the memory. rise() compares them.
 *
 * Three conventions hold for all functions that read:
 *  - They take a pointer to the next byte and return one behind what they have read. NULL means that the body is
 *    refused, or that a Python exception is set; only scanner_read() tells the two apart.
 *  - A body is a bytes object, and these end with a NUL that is not counted. So looking at one byte at the pointer is
 *    always allowed, and a NUL, which is no part of JSON, stops every loop. Longer looks are held against self->end.
 *  - A borrowed reference is made a strong one before anything is allocated: collecting garbage may run any code.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CONTRACT 7 /* what is handed over, in which order; accelerator.py has the same number */

/* What stands behind a key. CHOICE is one of some strings; LOOSE is anything, which Python judges. */
enum Kind { COUNTER, INTEGER, BOOLEAN, STRING, CHOICE, GROUP, LABELS, LOOSE, KINDS };

enum Refusal { ODD = 0, REPEATED = 1 };

enum {
    MAX_DEPTH = 16,
    MAX_SKIPPED = 100, /* containers within a loose value, as strict_json.py has it */
    MAX_FACTOR = 255,
    MAX_TERMS = 255,   /* of a relation's side */
    MAX_COUNT = 1 << 24, /* of anything in a layout */
    MAX_BLOCKS = INT16_MAX,
};

/* Some of the layout's text: a key with its quotes, or a word without. */
typedef struct {
    const char *text;
    int32_t length;
    PyObject *string; /* the same, of a word: each time it is handed out it is this object */
} Word;

struct Node;

/* One key of an object. Each body needs all of the hundreds there are: 64 bytes, a line of the processor's cache. */
typedef struct {
    const char *key;  /* with its quotes */
    uint64_t seen_in; /* the object in which it was seen last */
    int64_t least, most; /* a counter's are unsigned: -1 is the largest number */
    struct Node *below;  /* a group's object */
    const Word *choices;
    int32_t length; /* the key's */
    int32_t next;   /* the entry that followed it last time: a server writes its keys in one order */
    int32_t place;  /* a counter's slot; where another leaf is handed over, or -1; a group; a loose value */
    int16_t block;  /* of a group: the block that its counters are, or -1. Of a choice: how many there are */
    uint8_t kind;
    uint8_t required;
} Entry;

/* An object of the layout. */
typedef struct Node {
    Entry *entries;
    int32_t count;
    int32_t first; /* the entry that came first last time */
    int32_t depth; /* of what is below it */
} Node;

/* A counter of a relation, times a factor. */
typedef struct {
    int32_t slot;
    int16_t block;
    uint8_t factor;
} Term;

/* A relation: the sum of the first terms equals that of the next ones, or is at most that. */
typedef struct {
    const Term *terms;
    uint8_t equal;
    uint8_t left, right, unless; /* how many terms; where one of the last is not 0, "equal" means "at least" */
} Row;

typedef struct {
    PyObject_VAR_HEAD
    uint64_t values[];
} Counters;

typedef struct {
    PyTypeObject *counters_type;
} State;

typedef struct {
    PyObject_HEAD
    /* the layout */
    PyTypeObject *counters_type;
    PyObject *unset; /* stands for a label's leaf that is not there */
    PyObject *text;  /* bytes, into which keys and words point */
    Entry *entries;
    Node *nodes;
    Word *words;
    Term *terms;
    Row *rows;
    Node *root, *label;
    Py_ssize_t entry_count, node_count, word_count, term_count, row_count;
    Py_ssize_t own_leaves, label_counters, label_leaves, blocks, slots, groups, loose;
    Py_ssize_t *sizes; /* by block */
    /* the body that is being read */
    int busy;
    int refusal;
    const char *end;
    uint64_t objects; /* objects begun so far, ever: names the one that is being read */
    /* the sample that is being read */
    uint64_t *values, *label_values;
    char *there; /* by block: whether its group is */
    PyObject **own, **of_label; /* leaves that are no counters */
    PyObject **raws;
    PyObject *labels, *configuration;
    Py_ssize_t *absent; /* groups that are not there */
    Py_ssize_t absent_count;
} Scanner;

/* Where the leaves of an object go. */
typedef struct {
    uint64_t *counters;
    PyObject **others;
} Sink;

/* -- text ---------------------------------------------------------------------------------------------------------- */

static inline const char *
skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        p++;
    }
    return p;
}

static inline int
is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Behind the digits at p, of which there must be one. */
static const char *
skip_digits(const char *p)
{
    if (!is_digit(*p)) {
        return NULL;
    }
    while (is_digit(*p)) {
        p++;
    }
    return p;
}

/* An unsigned integer of up to 64 bits without a leading zero. A fraction is met by whoever wants a comma next. */
static inline const char *
read_unsigned(const char *p, uint64_t *value)
{
    unsigned digit = (unsigned)(unsigned char)*p - '0';
    if (digit > 9) {
        return NULL;
    }
    p++;
    if (digit == 0) {
        *value = 0;
        return is_digit(*p) ? NULL : p;
    }
    uint64_t sum = digit;
    int digits = 1;
    while ((digit = (unsigned)(unsigned char)*p - '0') <= 9) {
        if (++digits >= 20 && (digits > 20 || sum > (UINT64_MAX - digit) / 10)) {
            return NULL;
        }
        sum = sum * 10 + digit;
        p++;
    }
    *value = sum;
    return p;
}

/* A string without escapes and control characters. */
typedef struct {
    const char *text;
    Py_ssize_t length;
    int ascii;
} Plain;

static inline const char *
read_plain(const char *p, const char *end, Plain *plain)
{
    if (*p != '"') {
        return NULL;
    }
    plain->text = ++p;
    unsigned char any = 0;
    for (; p < end; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte == '"') {
            plain->length = p - plain->text;
            plain->ascii = any < 0x80;
            return p + 1;
        }
        if (byte < 0x20 || byte == '\\') {
            return NULL;
        }
        any |= byte;
    }
    return NULL;
}

/* Behind a word that has to stand at p. */
static inline const char *
skip_word(const char *p, const char *end, const char *word, Py_ssize_t length)
{
    return end - p >= length && memcmp(p, word, (size_t)length) == 0 ? p + length : NULL;
}

/* Behind a number of any size, by the letter of the grammar. */
static const char *
skip_number(const char *p)
{
    if (*p == '-') {
        p++;
    }
    p = *p == '0' ? p + 1 : skip_digits(p);
    if (p != NULL && *p == '.') {
        p = skip_digits(p + 1);
    }
    if (p != NULL && (*p == 'e' || *p == 'E')) {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        p = skip_digits(p);
    }
    return p;
}

/* Behind a string, a number or a word, in ASCII and without escapes. */
static const char *
skip_scalar(const char *p, const char *end)
{
    Plain plain;
    switch (*p) {
    case '"':
        p = read_plain(p, end, &plain);
        return p != NULL && plain.ascii ? p : NULL;
    case 't':
        return skip_word(p, end, "true", 4);
    case 'f':
        return skip_word(p, end, "false", 5);
    case 'n':
        return skip_word(p, end, "null", 4);
    default:
        return skip_number(p);
    }
}

/* Behind any value. Containers are matched by their brackets alone: Python looks into them. */
static const char *
skip_value(const char *p, const char *end)
{
    char closing[MAX_SKIPPED];
    int depth = 0;
    do {
        p = skip_blanks(p);
        if (*p == '{' || *p == '[') {
            if (depth == MAX_SKIPPED) {
                return NULL;
            }
            closing[depth++] = *p++ == '{' ? '}' : ']';
        }
        else if (depth > 0 && *p == closing[depth - 1]) {
            depth--;
            p++;
        }
        else if (depth > 0 && (*p == ',' || *p == ':')) {
            p++;
        }
        else if ((p = skip_scalar(p, end)) == NULL) {
            return NULL;
        }
    } while (depth > 0);
    return p;
}

/* -- leaves -------------------------------------------------------------------------------------------------------- */

/* The word that a string is; NULL where it is none of them. */
static const Word *
find_word(const Plain *plain, const Word *words, int count)
{
    for (const Word *word = words; word < words + count; word++) {
        if (plain->length == word->length && memcmp(plain->text, word->text, (size_t)plain->length) == 0) {
            return word;
        }
    }
    return NULL;
}

/* A string of Python's. NULL also where the bytes are no UTF-8. */
static PyObject *
string_of(const Plain *plain)
{
    if (plain->ascii) {
        return PyUnicode_FromStringAndSize(plain->text, plain->length);
    }
    PyObject *string = PyUnicode_DecodeUTF8(plain->text, plain->length, NULL);
    if (string == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear(); /* refused, like whatever else is odd */
    }
    return string;
}

/* Hands a leaf over, and takes the reference. Gives p, or NULL where there is no leaf. */
static inline const char *
put(const Entry *entry, const Sink *sink, PyObject *leaf, const char *p)
{
    if (leaf == NULL) {
        return NULL;
    }
    Py_XSETREF(sink->others[entry->place], leaf);
    return p;
}

static inline int
is_wanted(const Entry *entry)
{
    return entry->place >= 0;
}

static inline const char *
read_counter(const Entry *entry, const Sink *sink, const char *p)
{
    uint64_t value;
    p = read_unsigned(p, &value);
    if (p == NULL || value < (uint64_t)entry->least || value > (uint64_t)entry->most) {
        return NULL;
    }
    sink->counters[entry->place] = value;
    return p;
}

static const char *
read_integer(const Entry *entry, const Sink *sink, const char *p)
{
    uint64_t size;
    int negative = *p == '-';
    p = read_unsigned(p + negative, &size);
    if (p == NULL || size > INT64_MAX || (negative && size == 0)) {
        return NULL;
    }
    int64_t value = negative ? -(int64_t)size : (int64_t)size;
    if (value < entry->least || value > entry->most) {
        return NULL;
    }
    return is_wanted(entry) ? put(entry, sink, PyLong_FromLongLong(value), p) : p;
}

static const char *
read_boolean(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    int truth = *p == 't';
    p = truth ? skip_word(p, end, "true", 4) : skip_word(p, end, "false", 5);
    return p != NULL && is_wanted(entry) ? put(entry, sink, Py_NewRef(truth ? Py_True : Py_False), p) : p;
}

static const char *
read_choice(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    Plain plain;
    p = read_plain(p, end, &plain);
    const Word *word = p == NULL ? NULL : find_word(&plain, entry->choices, entry->block);
    if (word == NULL) {
        return NULL;
    }
    return is_wanted(entry) ? put(entry, sink, Py_NewRef(word->string), p) : p;
}

static const char *
read_string(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    Plain plain;
    p = read_plain(p, end, &plain);
    if (p == NULL || (plain.ascii && !is_wanted(entry))) {
        return p;
    }
    PyObject *string = string_of(&plain);
    if (string == NULL || is_wanted(entry)) {
        return put(entry, sink, string, p);
    }
    Py_DECREF(string); /* it was only to be UTF-8 */
    return p;
}

/* What is let through as it is, for Python to judge. */
static const char *
read_loose(Scanner *self, const Entry *entry, const char *p)
{
    const char *from = p;
    p = skip_value(p, self->end);
    if (p == NULL) {
        return NULL;
    }
    Py_XSETREF(self->raws[entry->place], PyBytes_FromStringAndSize(from, p - from));
    return self->raws[entry->place] == NULL ? NULL : p;
}

/* -- objects ------------------------------------------------------------------------------------------------------- */

static const char *read_members(Scanner *self, Node *node, const Sink *sink, const char *p);
static const char *read_labels(Scanner *self, const char *p);

static const char *
read_value(Scanner *self, const Entry *entry, const Sink *sink, const char *p)
{
    switch (entry->kind) {
    case COUNTER:
        return read_counter(entry, sink, p);
    case INTEGER:
        return read_integer(entry, sink, p);
    case BOOLEAN:
        return read_boolean(entry, sink, p, self->end);
    case STRING:
        return read_string(entry, sink, p, self->end);
    case CHOICE:
        return read_choice(entry, sink, p, self->end);
    case GROUP:
        if (entry->block >= 0) {
            self->there[entry->block] = 1;
        }
        return read_members(self, entry->below, sink, p);
    case LABELS:
        return read_labels(self, p);
    case LOOSE:
        return read_loose(self, entry, p);
    default:
        return NULL;
    }
}

static inline int
stands_at(const Entry *entry, const char *p, const char *end)
{
    return end - p >= entry->length && memcmp(p, entry->key, (size_t)entry->length) == 0;
}

/* The entry whose key stands at p; first the one that stood there last time is tried, and then remembered. */
static Entry *
find_entry(Scanner *self, Node *node, int32_t *expected, const char *p)
{
    if (*expected < node->count && stands_at(&node->entries[*expected], p, self->end)) {
        return &node->entries[*expected];
    }
    for (int32_t at = 0; at < node->count; at++) {
        if (stands_at(&node->entries[at], p, self->end)) {
            *expected = at;
            return &node->entries[at];
        }
    }
    return NULL;
}

/* At an object's end: which keys were not in it, and whether that is allowed. */
static int
may_lack_the_rest(Scanner *self, const Node *node, uint64_t number)
{
    for (int32_t at = 0; at < node->count; at++) {
        const Entry *entry = &node->entries[at];
        if (entry->seen_in == number) {
            continue;
        }
        if (entry->required) {
            return 0;
        }
        if (entry->kind == GROUP) {
            self->absent[self->absent_count++] = entry->place;
        }
        else if (entry->kind == LOOSE) {
            Py_XSETREF(self->raws[entry->place], PyBytes_FromStringAndSize(NULL, 0));
            if (self->raws[entry->place] == NULL) {
                return 0;
            }
        }
    }
    return 1;
}

/* One key, and what stands behind it. */
static const char *
read_member(Scanner *self, Entry *entry, const Sink *sink, uint64_t number, const char *p)
{
    if (entry->seen_in == number) {
        self->refusal = REPEATED;
        return NULL;
    }
    entry->seen_in = number;
    p = skip_blanks(p + entry->length);
    return *p == ':' ? read_value(self, entry, sink, skip_blanks(p + 1)) : NULL;
}

static const char *
read_members(Scanner *self, Node *node, const Sink *sink, const char *p)
{
    if (*p != '{') {
        return NULL;
    }
    uint64_t number = ++self->objects;
    int32_t seen = 0, *expected = &node->first;
    p = skip_blanks(p + 1);
    if (*p == '}') {
        return may_lack_the_rest(self, node, number) ? p + 1 : NULL;
    }
    for (;;) {
        Entry *entry = find_entry(self, node, expected, p);
        if (entry == NULL || (p = read_member(self, entry, sink, number, p)) == NULL) {
            return NULL;
        }
        seen++;
        expected = &entry->next;
        p = skip_blanks(p);
        if (*p == '}') {
            return seen == node->count || may_lack_the_rest(self, node, number) ? p + 1 : NULL;
        }
        if (*p != ',') {
            return NULL;
        }
        p = skip_blanks(p + 1);
    }
}

/* -- counters ------------------------------------------------------------------------------------------------------ */

static Py_ssize_t
counters_length(PyObject *object)
{
    return Py_SIZE(object);
}

static PyObject *
counters_item(PyObject *object, Py_ssize_t at)
{
    if (at < 0 || at >= Py_SIZE(object)) {
        PyErr_SetString(PyExc_IndexError, "there is no such counter");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(((Counters *)object)->values[at]);
}

static inline int
has_values(PyObject *counters, const uint64_t *values, Py_ssize_t count)
{
    return Py_SIZE(counters) == count &&
           memcmp(((Counters *)counters)->values, values, (size_t)count * sizeof(uint64_t)) == 0;
}

/* Equal to the same numbers, in another object of the type or in a tuple. */
static PyObject *
counters_compare(PyObject *one, PyObject *two, int operator)
{
    int same;
    if (operator != Py_EQ && operator != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (Py_IS_TYPE(two, Py_TYPE(one))) {
        same = has_values(one, ((Counters *)two)->values, Py_SIZE(two));
    }
    else if (PyTuple_Check(two)) {
        PyObject *tuple = PySequence_Tuple(one);
        same = tuple == NULL ? -1 : PyObject_RichCompareBool(tuple, two, Py_EQ);
        Py_XDECREF(tuple);
        if (same < 0) {
            return NULL;
        }
    }
    else {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyBool_FromLong(operator == Py_EQ ? same : !same);
}

/* Counters refer to nothing but their type, so the garbage collector need not know of them: there are very many. */
static void
counters_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyType_Slot counters_slots[] = {
    {Py_tp_doc, "The counters of a block: a tuple of integers to whoever looks, and an array."},
    {Py_tp_dealloc, counters_dealloc},
    {Py_tp_richcompare, counters_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_sq_length, counters_length},
    {Py_sq_item, counters_item},
    {0, NULL},
};

static PyType_Spec counters_spec = {
    .name = "sora_stats_harness._accelerator.Counters",
    .basicsize = offsetof(Counters, values),
    .itemsize = sizeof(uint64_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = counters_slots,
};

/* Counters as an object. */
static PyObject *
counters_of(Scanner *self, const uint64_t *values, Py_ssize_t count)
{
    Counters *counters = PyObject_NewVar(Counters, self->counters_type, count);
    if (counters != NULL) {
        memcpy(counters->values, values, (size_t)count * sizeof(uint64_t));
    }
    return (PyObject *)counters;
}

/* -- labels -------------------------------------------------------------------------------------------------------- */

/* The other leaves that were just read, as a tuple. */
static PyObject *
leaves_of(Scanner *self)
{
    PyObject *leaves = PyTuple_New(self->label_leaves);
    for (Py_ssize_t place = 0; leaves != NULL && place < self->label_leaves; place++) {
        PyObject *leaf = self->of_label[place];
        PyTuple_SET_ITEM(leaves, place, leaf == NULL ? Py_NewRef(self->unset) : leaf);
        self->of_label[place] = NULL;
    }
    return leaves;
}

/* Adds what was just read of a label to the sample; -1: an exception is set. */
static int
add_label(Scanner *self, PyObject *label)
{
    PyObject *counters = counters_of(self, self->label_values, self->label_counters);
    PyObject *leaves = leaves_of(self);
    int failed = counters == NULL || leaves == NULL || PyDict_SetItem(self->labels, label, counters) < 0 ||
                 PyDict_SetItem(self->configuration, label, leaves) < 0;
    Py_XDECREF(counters);
    Py_XDECREF(leaves);
    return failed ? -1 : 0;
}

/* The object behind a label. */
static const char *
read_label(Scanner *self, PyObject *label, const char *p)
{
    Sink sink = {self->label_values, self->of_label};
    int known = PyDict_Contains(self->labels, label);
    if (known != 0) {
        self->refusal = REPEATED;
        return NULL;
    }
    p = read_members(self, self->label, &sink, p);
    return p == NULL || add_label(self, label) < 0 ? NULL : p;
}

/* A label, and the object behind it. */
static const char *
read_labelled(Scanner *self, const char *p)
{
    Plain plain;
    p = read_plain(p, self->end, &plain);
    PyObject *label = p == NULL ? NULL : string_of(&plain);
    if (label == NULL) {
        return NULL;
    }
    p = skip_blanks(p);
    p = *p == ':' ? read_label(self, label, skip_blanks(p + 1)) : NULL;
    Py_DECREF(label);
    return p;
}

static const char *
read_labels(Scanner *self, const char *p)
{
    if (*p != '{') {
        return NULL;
    }
    p = skip_blanks(p + 1);
    if (*p == '}') {
        return p + 1;
    }
    while ((p = read_labelled(self, p)) != NULL) {
        p = skip_blanks(p);
        if (*p == '}') {
            return p + 1;
        }
        if (*p != ',') {
            return NULL;
        }
        p = skip_blanks(p + 1);
    }
    return NULL;
}

/* -- relations ----------------------------------------------------------------------------------------------------- */

/* The sum of some terms, in two parts that cannot overflow: units, and units of 2^32. */
typedef struct {
    uint64_t high, low;
} Sum;

static inline Sum
sum_of(const Scanner *self, const Term *terms, int count)
{
    Sum sum = {0, 0};
    for (int at = 0; at < count; at++) {
        uint64_t value = self->values[terms[at].slot], factor = terms[at].factor;
        sum.low += factor * (value & UINT32_MAX);
        sum.high += factor * (value >> 32);
    }
    sum.high += sum.low >> 32;
    sum.low &= UINT32_MAX;
    return sum;
}

static inline int
are_there(const Scanner *self, const Term *terms, int count)
{
    for (int at = 0; at < count; at++) {
        if (!self->there[terms[at].block]) {
            return 0;
        }
    }
    return 1;
}

static inline int
are_zero(const Scanner *self, const Term *terms, int count)
{
    for (int at = 0; at < count; at++) {
        if (self->values[terms[at].slot] != 0) {
            return 0;
        }
    }
    return 1;
}

/* Whether a relation holds. One whose groups are not all there promises nothing. */
static inline int
holds(const Scanner *self, const Row *row)
{
    const Term *excuses = row->terms + row->left + row->right;
    Sum left = sum_of(self, row->terms, row->left), right = sum_of(self, row->terms + row->left, row->right);
    if (left.high == right.high && left.low == right.low) {
        return 1;
    }
    int less = left.high < right.high || (left.high == right.high && left.low < right.low);
    if (less ? !row->equal : row->equal && !(are_there(self, excuses, row->unless) && are_zero(self, excuses, row->unless))) {
        return 1;
    }
    return !are_there(self, row->terms, row->left + row->right);
}

static int
all_hold(const Scanner *self)
{
    for (Py_ssize_t at = 0; at < self->row_count; at++) {
        if (!holds(self, &self->rows[at])) {
            return 0;
        }
    }
    return 1;
}

/* -- connections --------------------------------------------------------------------------------------------------- */

static void
forget(PyObject **objects, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_CLEAR(objects[at]);
    }
}

static void
forget_sample(Scanner *self)
{
    forget(self->own, self->own_leaves);
    forget(self->of_label, self->label_leaves);
    forget(self->raws, self->loose);
    Py_CLEAR(self->labels);
    Py_CLEAR(self->configuration);
}

/* The blocks as a list, with None for those that are not there. */
static PyObject *
blocks_of(Scanner *self)
{
    PyObject *blocks = PyList_New(self->blocks);
    const uint64_t *values = self->values;
    for (Py_ssize_t at = 0; blocks != NULL && at < self->blocks; at++) {
        PyObject *block = self->there[at] ? counters_of(self, values, self->sizes[at]) : Py_NewRef(Py_None);
        if (block == NULL) {
            Py_CLEAR(blocks);
            break;
        }
        PyList_SET_ITEM(blocks, at, block);
        values += self->sizes[at];
    }
    return blocks;
}

/* The places of the groups that are not there. */
static PyObject *
absent_groups(const Scanner *self)
{
    PyObject *places = PyTuple_New(self->absent_count);
    for (Py_ssize_t at = 0; places != NULL && at < self->absent_count; at++) {
        PyObject *place = PyLong_FromSsize_t(self->absent[at]);
        if (place == NULL) {
            Py_CLEAR(places);
            break;
        }
        PyTuple_SET_ITEM(places, at, place);
    }
    return places;
}

/* Objects as a tuple, with None for those that are not there. */
static PyObject *
tuple_of(PyObject *const *objects, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t at = 0; tuple != NULL && at < count; at++) {
        PyTuple_SET_ITEM(tuple, at, Py_NewRef(objects[at] == NULL ? Py_None : objects[at]));
    }
    return tuple;
}

/* The sample that was just read, as the tuple that accelerator.py describes. */
static PyObject *
hand_over(Scanner *self)
{
    PyObject *sample = NULL;
    PyObject *own = tuple_of(self->own, self->own_leaves), *raws = tuple_of(self->raws, self->loose);
    PyObject *blocks = blocks_of(self), *absent = absent_groups(self);
    if (own != NULL && raws != NULL && blocks != NULL && absent != NULL) {
        PyObject *related = all_hold(self) ? Py_True : Py_False;
        sample = PyTuple_Pack(7, own, blocks, self->labels, self->configuration, related, absent, raws);
    }
    Py_XDECREF(own);
    Py_XDECREF(raws);
    Py_XDECREF(blocks);
    Py_XDECREF(absent);
    return sample;
}

/* One connection, which begins at *at. */
static PyObject *
read_connection(Scanner *self, const char **at)
{
    PyObject *sample = NULL;
    self->absent_count = 0;
    memset(self->there, 0, (size_t)self->blocks);
    self->labels = PyDict_New();
    self->configuration = PyDict_New();
    if (self->labels != NULL && self->configuration != NULL) {
        Sink sink = {self->values, self->own};
        *at = read_members(self, self->root, &sink, *at);
        sample = *at == NULL ? NULL : hand_over(self);
    }
    forget_sample(self);
    return sample;
}

/* Connections up to what does not continue an array; the caller looks whether that is the array's end. */
static const char *
read_connections(Scanner *self, PyObject *found, int many, const char *p)
{
    for (;;) {
        PyObject *sample = read_connection(self, &p);
        int failed = sample == NULL || PyList_Append(found, sample) < 0;
        Py_XDECREF(sample);
        if (failed) {
            return NULL;
        }
        p = skip_blanks(p);
        if (!many || *p != ',') {
            return p;
        }
        p = skip_blanks(p + 1);
    }
}

/* A whole body: one connection, or an array of them. */
static const char *
read_body(Scanner *self, PyObject *found, int many, const char *p)
{
    p = skip_blanks(p);
    if (!many) {
        return read_connections(self, found, many, p);
    }
    if (*p != '[') {
        return NULL;
    }
    p = skip_blanks(p + 1);
    if (*p != ']') {
        p = read_connections(self, found, many, p);
    }
    return p != NULL && *p == ']' ? skip_blanks(p + 1) : NULL;
}

PyDoc_STRVAR(read_doc,
"read(body, many)\n--\n\n"
"A body's connections as a list of tuples; 0 where it is refused, 1 where that is for a repeated key.");

static PyObject *
scanner_read(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Scanner *self = (Scanner *)object;
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyBool_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "read() takes bytes, and whether they should be an array");
        return NULL;
    }
    if (self->root == NULL) {
        PyErr_SetString(PyExc_TypeError, "this scanner was never made");
        return NULL;
    }
    if (self->busy) { /* a finalizer that runs while this scanner reads reads with it as well: let Python do that */
        return PyLong_FromLong(ODD);
    }
    PyObject *body = Py_NewRef(arguments[0]), *found = PyList_New(0);
    self->busy = 1;
    self->refusal = ODD;
    self->end = PyBytes_AS_STRING(body) + PyBytes_GET_SIZE(body);
    const char *p = found == NULL ? NULL : read_body(self, found, arguments[1] == Py_True, PyBytes_AS_STRING(body));
    if (p != self->end) {
        Py_CLEAR(found);
    }
    int refusal = self->refusal;
    self->end = NULL;
    self->busy = 0;
    Py_DECREF(body);
    if (found == NULL && !PyErr_Occurred()) {
        return PyLong_FromLong(refusal);
    }
    return found;
}

/* -- making a scanner ---------------------------------------------------------------------------------------------- */

/*
 * A layout comes as tables of numbers of 64 bits, a row after the other. Nothing in them is trusted: each number is held
 * against what it counts or points to, so that no layout, however wrong, makes a scanner that leaves its memory.
 */
typedef struct {
    const int64_t *numbers;
    Py_ssize_t rows;
} Table;

static int
complain(const char *what)
{
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "the layout's %s cannot be", what);
    }
    return -1;
}

/* Looks at bytes as a table. */
static int
make_table(Table *table, PyObject *bytes, Py_ssize_t columns)
{
    Py_ssize_t row_bytes = columns * (Py_ssize_t)sizeof(int64_t);
    if (!PyBytes_CheckExact(bytes) || PyBytes_GET_SIZE(bytes) % row_bytes != 0 ||
        PyBytes_GET_SIZE(bytes) / row_bytes > MAX_COUNT) {
        return complain("tables");
    }
    table->numbers = (const int64_t *)(const void *)PyBytes_AS_STRING(bytes);
    table->rows = PyBytes_GET_SIZE(bytes) / row_bytes;
    return 0;
}

static inline int
is_in(int64_t number, int64_t least, int64_t most)
{
    return number >= least && number <= most;
}

/* Whether so many things from a place on are within those that there are. */
static inline int
are_within(int64_t from, int64_t count, Py_ssize_t all)
{
    return is_in(from, 0, all) && is_in(count, 0, all - from);
}

/* Blocks, from how many counters each has. */
static int
make_sizes(Scanner *self, const Table *table)
{
    self->blocks = table->rows;
    for (Py_ssize_t at = 0; at < self->blocks; at++) {
        if (!is_in(table->numbers[at], 0, MAX_COUNT - self->slots) || self->blocks > MAX_BLOCKS) {
            return complain("blocks");
        }
        self->sizes[at] = (Py_ssize_t)table->numbers[at];
        self->slots += self->sizes[at];
    }
    return 0;
}

/* Words, from (place in the text, length). Keys are among them, with their quotes. */
static int
make_words(Scanner *self, const Table *table)
{
    for (Py_ssize_t at = 0; at < table->rows; at++) {
        const int64_t *row = table->numbers + 2 * at;
        if (!are_within(row[0], row[1], PyBytes_GET_SIZE(self->text)) || row[1] > MAX_COUNT) {
            return complain("words");
        }
        Word *word = &self->words[at];
        *word = (Word){.text = PyBytes_AS_STRING(self->text) + row[0], .length = (int32_t)row[1]};
        word->string = PyUnicode_DecodeUTF8(word->text, word->length, NULL);
        if (word->string == NULL) {
            return -1;
        }
        self->word_count = at + 1;
    }
    return 0;
}

/* The columns of an entry. Its key is a word; `from` and `count` are words of a choice, and `from` a group's node. */
enum { KIND, KEY, REQUIRED, PLACE, BLOCK, LEAST, MOST, FROM, COUNT, ENTRY_COLUMNS };

/* Whether what an entry refers to is there. A label has no groups, and lets nothing through. */
static int
is_sound(const Scanner *self, const int64_t *row, int of_label, Py_ssize_t node)
{
    Py_ssize_t slots = of_label ? self->label_counters : self->slots;
    Py_ssize_t leaves = of_label ? self->label_leaves : self->own_leaves;
    switch (row[KIND]) {
    case COUNTER: /* its limits are unsigned */
        return is_in(row[PLACE], 0, slots - 1) && row[REQUIRED] && row[LEAST] >= 0 && row[MOST] >= -1;
    case INTEGER:
    case BOOLEAN:
    case STRING:
        return is_in(row[PLACE], -1, leaves - 1);
    case CHOICE:
        return is_in(row[PLACE], -1, leaves - 1) && are_within(row[FROM], row[COUNT], self->word_count) &&
               row[COUNT] <= INT16_MAX;
    case GROUP: /* nodes stand behind those below them, so that there is no way round in a circle */
        return !of_label && is_in(row[PLACE], 0, self->groups - 1) && is_in(row[BLOCK], -1, self->blocks - 1) &&
               is_in(row[FROM], self->label != NULL, node - 1) && self->nodes[row[FROM]].depth < MAX_DEPTH;
    case LABELS:
        return !of_label && self->label != NULL && node == self->node_count - 1;
    case LOOSE:
        return !of_label && is_in(row[PLACE], 0, self->loose - 1);
    default:
        return 0;
    }
}

static int
make_entry(Scanner *self, Entry *entry, const int64_t *row, int of_label, Py_ssize_t node)
{
    if (!is_in(row[KEY], 0, self->word_count - 1) || !is_sound(self, row, of_label, node)) {
        return complain("entries");
    }
    *entry = (Entry){
        .key = self->words[row[KEY]].text,
        .length = self->words[row[KEY]].length,
        .kind = (uint8_t)row[KIND],
        .required = row[REQUIRED] != 0,
        .place = (int32_t)row[PLACE],
        .block = (int16_t)(row[KIND] == CHOICE ? row[COUNT] : row[BLOCK]),
        .least = row[LEAST],
        .most = row[MOST],
        .choices = row[KIND] == CHOICE ? self->words + row[FROM] : NULL,
        .below = row[KIND] == GROUP ? self->nodes + row[FROM] : NULL,
    };
    return 0;
}

/* Nodes, from (first entry, number of entries); the first is a label's if there are labels, the last is the root. */
static int
make_nodes(Scanner *self, const Table *nodes, const Table *entries, int labels)
{
    Py_ssize_t at = 0;
    self->node_count = nodes->rows;
    self->label = labels ? self->nodes : NULL;
    self->root = self->nodes + nodes->rows - 1;
    if (nodes->rows < 1 + labels) {
        return complain("nodes");
    }
    for (Py_ssize_t number = 0; number < nodes->rows; number++) {
        Node *node = &self->nodes[number];
        int64_t count = nodes->numbers[number];
        if (!are_within(at, count, entries->rows)) {
            return complain("nodes");
        }
        *node = (Node){.entries = self->entries + at, .count = (int32_t)count};
        for (int32_t place = 0; place < count; place++, at++) {
            Entry *entry = &self->entries[at];
            if (make_entry(self, entry, entries->numbers + ENTRY_COLUMNS * at, labels && number == 0, number) < 0) {
                return -1;
            }
            entry->next = place + 1;
            if (entry->below != NULL && node->depth <= entry->below->depth) {
                node->depth = entry->below->depth + 1;
            }
        }
    }
    return 0;
}

/* The terms of relations, from (factor, block, place in the block). */
static int
make_terms(Scanner *self, const Table *table)
{
    self->term_count = table->rows;
    for (Py_ssize_t at = 0; at < table->rows; at++) {
        const int64_t *row = table->numbers + 3 * at;
        if (!is_in(row[0], 0, MAX_FACTOR) || !is_in(row[1], 0, self->blocks - 1) ||
            !is_in(row[2], 0, self->sizes[row[1]] - 1)) {
            return complain("terms");
        }
        int32_t slot = (int32_t)row[2];
        for (Py_ssize_t block = 0; block < row[1]; block++) {
            slot += (int32_t)self->sizes[block];
        }
        self->terms[at] = (Term){.slot = slot, .block = (int16_t)row[1], .factor = (uint8_t)row[0]};
    }
    return 0;
}

/* Relations, from (whether the sides are equal, terms on the left, on the right, and that excuse). */
static int
make_rows(Scanner *self, const Table *table)
{
    int64_t term = 0;
    self->row_count = table->rows;
    for (Py_ssize_t at = 0; at < table->rows; at++) {
        const int64_t *row = table->numbers + 4 * at;
        int64_t terms = 0;
        for (int side = 1; side < 4; side++) {
            if (!is_in(row[side], 0, MAX_TERMS)) {
                return complain("relations");
            }
            terms += row[side];
        }
        if (!are_within(term, terms, self->term_count)) {
            return complain("relations");
        }
        self->rows[at] = (Row){
            .terms = self->terms + term, .equal = row[0] != 0, .left = (uint8_t)row[1], .right = (uint8_t)row[2],
            .unless = (uint8_t)row[3],
        };
        term += terms;
    }
    return 0;
}

/* Room for the first so many of something, and never for none. */
static void *
room(Py_ssize_t count, size_t size)
{
    return PyMem_Calloc((size_t)count + 1, size);
}

enum { SIZES, WORDS, ENTRIES, NODES, TERMS, ROWS, TABLES };

static int
make_room(Scanner *self, const Table *tables)
{
    self->sizes = room(tables[SIZES].rows, sizeof(Py_ssize_t));
    self->words = room(tables[WORDS].rows, sizeof(Word));
    self->entries = room(tables[ENTRIES].rows, sizeof(Entry));
    self->nodes = room(tables[NODES].rows, sizeof(Node));
    self->terms = room(tables[TERMS].rows, sizeof(Term));
    self->rows = room(tables[ROWS].rows, sizeof(Row));
    self->own = room(self->own_leaves, sizeof(PyObject *));
    self->of_label = room(self->label_leaves, sizeof(PyObject *));
    self->raws = room(self->loose, sizeof(PyObject *));
    self->label_values = room(self->label_counters, sizeof(uint64_t));
    self->absent = room(self->groups, sizeof(Py_ssize_t));
    self->there = room(tables[SIZES].rows, 1);
    if (!self->sizes || !self->words || !self->entries || !self->nodes || !self->terms || !self->rows || !self->own ||
        !self->of_label || !self->raws || !self->label_values || !self->absent || !self->there) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
make_layout(Scanner *self, const Table *tables, int labels)
{
    if (make_room(self, tables) < 0 || make_sizes(self, &tables[SIZES]) < 0) {
        return -1;
    }
    self->values = room(self->slots, sizeof(uint64_t));
    if (self->values == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (make_words(self, &tables[WORDS]) < 0 || make_terms(self, &tables[TERMS]) < 0 ||
        make_rows(self, &tables[ROWS]) < 0) {
        return -1;
    }
    return make_nodes(self, &tables[NODES], &tables[ENTRIES], labels);
}

/* There is no __init__: a scanner is made whole, or not at all. */
static PyObject *
scanner_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {
        "text", "sizes", "words", "entries", "nodes", "terms", "rows", "labels", "own_leaves", "label_counters",
        "label_leaves", "groups", "loose", "unset", NULL,
    };
    static const Py_ssize_t columns[TABLES] = {1, 2, ENTRY_COLUMNS, 1, 3, 4};
    PyObject *text, *given[TABLES], *unset;
    Table tables[TABLES];
    Py_ssize_t counts[5];
    int labels;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "SSSSSSSpnnnnnO:Scanner", names, &text, &given[SIZES], &given[WORDS],
            &given[ENTRIES], &given[NODES], &given[TERMS], &given[ROWS], &labels, &counts[0], &counts[1],
            &counts[2], &counts[3], &counts[4], &unset
        )) {
        return NULL;
    }
    for (int at = 0; at < TABLES; at++) {
        if (make_table(&tables[at], given[at], columns[at]) < 0) {
            return NULL;
        }
    }
    for (int at = 0; at < 5; at++) {
        if (!is_in(counts[at], 0, MAX_COUNT)) {
            complain("counts");
            return NULL;
        }
    }
    State *state = PyType_GetModuleState(type);
    Scanner *self = state == NULL ? NULL : (Scanner *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->counters_type = (PyTypeObject *)Py_NewRef(state->counters_type);
    self->unset = Py_NewRef(unset);
    self->text = Py_NewRef(text);
    self->own_leaves = counts[0];
    self->label_counters = counts[1];
    self->label_leaves = counts[2];
    self->groups = counts[3];
    self->loose = counts[4];
    if (make_layout(self, tables, labels) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void
scanner_dealloc(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (Py_ssize_t at = 0; at < self->word_count; at++) {
        Py_XDECREF(self->words[at].string);
    }
    Py_XDECREF(self->counters_type);
    Py_XDECREF(self->unset);
    Py_XDECREF(self->text);
    void *const rooms[] = {
        self->sizes, self->words, self->entries, self->nodes, self->terms, self->rows, self->own, self->of_label,
        self->raws, self->values, self->label_values, self->absent, self->there,
    };
    for (size_t at = 0; at < sizeof(rooms) / sizeof(rooms[0]); at++) {
        PyMem_Free(rooms[at]);
    }
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef scanner_methods[] = {
    {"read", (PyCFunction)(void (*)(void))scanner_read, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_doc, "Reads bodies of one layout; for one thread."},
    {Py_tp_new, scanner_new},
    {Py_tp_dealloc, scanner_dealloc},
    {Py_tp_methods, scanner_methods},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    .name = "sora_stats_harness._accelerator.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = scanner_slots,
};

/* -- the module ---------------------------------------------------------------------------------------------------- */

/* How one block of counters compares with the same block of an earlier sample. */
enum Change { SAME, GROWN, FALLEN };

static enum Change
compare(const uint64_t *before, const uint64_t *after, Py_ssize_t count)
{
    int grew = 0, fell = 0;
    for (Py_ssize_t at = 0; at < count; at++) { /* without a way out, so that a compiler takes several at once */
        grew |= after[at] > before[at];
        fell |= after[at] < before[at];
    }
    return fell ? FALLEN : grew ? GROWN : SAME;
}

/* Puts a block into a copy of the list, which is made when it is needed; -1: an exception is set. */
static int
put_block(PyObject **copy, PyObject *original, Py_ssize_t at, PyObject *block)
{
    Py_INCREF(block);
    if (*copy == original) {
        Py_SETREF(*copy, PyList_GetSlice(original, 0, PyList_GET_SIZE(original)));
    }
    if (*copy == NULL) {
        Py_DECREF(block);
        return -1;
    }
    return PyList_SetItem(*copy, at, block); /* takes the reference */
}

/* Adds a number to a list; -1: an exception is set. */
static int
append_number(PyObject *list, Py_ssize_t value)
{
    PyObject *number = PyLong_FromSsize_t(value);
    int failed = number == NULL || PyList_Append(list, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(rise_doc,
"rise(known, blocks)\n--\n\n"
"Takes the blocks that are larger in the second list over into the first, or rather into a copy of it. Gives that, and\n"
"the places that are left to Python: a counter fell, or one of the two blocks is no Counters. In the second list, blocks\n"
"that are the same as in the first become those very objects.");

static PyObject *
rise(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    PyTypeObject *type = ((State *)PyModule_GetState(module))->counters_type;
    if (count != 2 || !PyList_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "rise() takes two lists");
        return NULL;
    }
    PyObject *known = arguments[0], *blocks = arguments[1], *top = Py_NewRef(known), *left = PyList_New(0);
    int failed = left == NULL;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(known) && at < PyList_GET_SIZE(blocks); at++) {
        PyObject *most = PyList_GET_ITEM(known, at), *mine = PyList_GET_ITEM(blocks, at);
        if (most == mine) {
            continue;
        }
        enum Change change = FALLEN;
        if (Py_IS_TYPE(most, type) && Py_IS_TYPE(mine, type) && Py_SIZE(most) == Py_SIZE(mine)) {
            change = compare(((Counters *)most)->values, ((Counters *)mine)->values, Py_SIZE(most));
        }
        failed = (change == SAME    ? PyList_SetItem(blocks, at, Py_NewRef(most))
                  : change == GROWN ? put_block(&top, known, at, mine)
                                    : append_number(left, at)) < 0;
    }
    PyObject *result = failed ? NULL : PyTuple_Pack(2, top, left);
    Py_XDECREF(top);
    Py_XDECREF(left);
    return result;
}

static PyMethodDef functions[] = {
    {"rise", (PyCFunction)(void (*)(void))rise, METH_FASTCALL, rise_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->counters_type = add_type(module, &counters_spec);
    PyTypeObject *scanner_type = state->counters_type == NULL ? NULL : add_type(module, &scanner_spec);
    if (scanner_type == NULL) {
        return -1;
    }
    Py_DECREF(scanner_type);
    static const char *const kinds[] = {
        "COUNTER", "INTEGER", "BOOLEAN", "STRING", "CHOICE", "GROUP", "LABELS", "LOOSE",
    };
    for (int kind = 0; kind < KINDS; kind++) {
        if (PyModule_AddIntConstant(module, kinds[kind], kind) < 0) {
            return -1;
        }
    }
    return PyModule_AddIntConstant(module, "CONTRACT", CONTRACT);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(((State *)PyModule_GetState(module))->counters_type);
    return 0;
}

static int
module_clear(PyObject *module)
{
    Py_CLEAR(((State *)PyModule_GetState(module))->counters_type);
    return 0;
}

static void
module_free(void *module)
{
    module_clear((PyObject *)module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters /* Python 3.12: no state is shared between interpreters */
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil /* Python 3.13: a scanner has no lock of its own */
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sora_stats_harness._accelerator",
    .m_doc = "Scans bodies in which there is nothing to find; see accelerator.py.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__accelerator(void)
{
    return PyModuleDef_Init(&module_def);
}
