/*
 * The accelerator: scans the bodies of responses, and accepts those in which there is nothing to find.
 *
 * A Scanner is made from an edition's layout (accelerator.py). It takes a body apart in one pass and accepts it only
 * where every key, type, limit and value is as documented, no key stands twice, and the text is plain: strings without
 * escapes, integers without fraction or exponent, within 64 bits. Whatever else it meets it refuses, and the reader in
 * Python judges the body from its first byte. So a mistake in here can cost time. It must never cost a finding: tests
 * and `make fuzz` compare the two readers for that.
 *
 * Counters are handed out as objects of a type of their own, an array that acts as a tuple of integers: as integers of
 * Python's they would take five times the memory. Comparing them in Python would make judging half as long again, so
 * merge_risen_blocks() does. What is as it was in the connection's sample before is handed out as the same object.
 *
 * Three conventions hold for all functions that read:
 *  - They take a pointer to the next byte and return one behind what they have read. NULL means that the body is
 *    refused, or that a Python exception is set; only scanner_read() tells the two apart.
 *  - A body is a bytes object, and these end with a NUL that is not counted. So looking at one byte at the pointer is
 *    always allowed, and a NUL, which is no part of JSON, stops every loop. Longer looks are held against self->end.
 *  - A borrowed reference is made a strong one before anything is allocated, unless a strong one to something that
 *    can't change has it: collecting garbage may run any code.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INTERFACE_VERSION 11 /* what is handed over, in which order; accelerator.py has the same number */

/* What stands behind a key, in accelerator.py's order. CHOICE is one of some words, and LOOSE anything at all. */
enum Kind { COUNTER, INTEGER, BOOLEAN, STRING, CHOICE, GROUP, LABELS, LOOSE };

/* Why a body is refused. Of a repeated key Python is told: it would have to parse a second time to find out. */
enum Refusal { ODD, REPEATED };

/* A larger edition is read in Python. The documented one has 374 leaves in 31 groups, and some 60 relations. */
enum {
    MAX_BLOCKS = 512,
    MAX_WORDS = 4096,
    MAX_ENTRIES = 2048,
    MAX_NODES = 512,
    MAX_TERMS = 2048,
    MAX_ROWS = 512,
    MAX_OWN = 16,    /* leaves of a connection that are handed over besides its counters */
    MAX_LABEL = 256, /* leaves of a label */
    MAX_LOOSE = 1024,
    MAX_DEPTH = 16,
    MAX_SKIPPED = 100, /* containers within a loose value, as strict_json.py has it */
    MAX_FACTORS = 256, /* the sum of all factors of a relation */
    MAX_YEAR = 2200,    /* nanoseconds until then have no more than 63 bits */
    MAX_KEPT = 1 << 15, /* connections whose last sample is kept for comparison */
    MAX_STEPS = 64,     /* in which holders are looked for */
};

#define LARGE ((uint64_t)1 << 56) /* MAX_FACTORS times a counter below this has no more than 64 bits */

/* A counter that is not there, or has no value that can be used: -1 to Python, and 0 where 1 is added to each. */
#define MISSING UINT64_MAX

/* A word of a choice. */
typedef struct {
    PyObject *string;
    const char *text; /* in the string */
    Py_ssize_t length;
} Word;

struct Node;

/* One key of an object. Each body needs all of the hundreds there are, so they are small: 48 bytes. */
typedef struct {
    uint64_t seen_in;    /* the object in which it was seen last */
    int64_t least, most; /* a counter's are unsigned: -1 is the largest number */
    union {
        struct Node *below; /* a group's object */
        const Word *choices;
    } to;
    int32_t key; /* its place in the keys, with its quotes */
    int16_t length, choice_count;
    int16_t next;  /* the entry that followed it last time: a server writes its keys in one order */
    int16_t place; /* a counter's slot; where another leaf is handed over, or -1; a group; a loose value */
    int16_t block; /* of a group: the block that its counters are; of a loose value: a counter's slot; or -1 */
    uint8_t kind, required;
} Entry;

/* An object of the layout. */
typedef struct Node {
    Entry *entries;
    int16_t count;
    int16_t first; /* the entry that came first last time */
    int16_t depth; /* of what is below it */
    int16_t place; /* its group's */
} Node;

/* A counter of a relation, times a factor. */
typedef struct {
    int16_t slot, factor;
} Term;

/* A relation: the sum of the first terms equals that of the next ones, or is at most that. */
typedef struct {
    const Term *terms;
    int16_t equal;
    int16_t left, right, unless; /* how many terms; where one of the last is not 0, "equal" means "at least" */
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
    PyObject *unset;   /* stands for a label's leaf that is not there */
    PyObject *keys;    /* bytes: all keys, one after the other */
    PyObject *strings; /* a tuple: the words */
    Node *root, *label;
    Py_ssize_t own_leaves, label_counters, label_leaves, groups, loose; /* how many there are */
    Py_ssize_t blocks, slots, words_made, nodes_made, row_count;
    int16_t sizes[MAX_BLOCKS]; /* of blocks */
    Word words[MAX_WORDS];
    Entry entries[MAX_ENTRIES];
    Node nodes[MAX_NODES];
    Term terms[MAX_TERMS];
    Row rows[MAX_ROWS];
    Py_ssize_t id;         /* the place of the connection's id among its own leaves, of which the first is the time */
    Py_ssize_t short_leaf; /* characters that an own leaf may have without being looked at */
    PyObject *kept; /* of each connection's last sample, by its id */
    Py_ssize_t since_cleared;
    /* the body that is being read */
    int busy;
    enum Refusal refusal;
    const char *end;
    uint64_t objects; /* objects begun so far, ever: names the one that is being read */
    /* the sample that is being read */
    uint64_t values[MAX_ENTRIES], label_values[MAX_LABEL];
    char there[MAX_BLOCKS];                              /* whether a block's group is */
    PyObject *own[MAX_OWN], *leaves_of_label[MAX_LABEL]; /* leaves that are no counters */
    PyObject *raws[MAX_LOOSE];
    PyObject *absent;  /* places of groups that are not there */
    PyObject *unknown; /* keys that the layout does not have, each with its group and value */
    PyObject *labels, *configuration;
    PyObject *labels_read; /* each label, and its leaves behind it */
    PyObject *before;      /* what is kept of the connection's sample before, if that is known */
    int same_labels;       /* whether the labels read so far, and their leaves, are the objects of that sample */
} Scanner;

/* Where the leaves of an object go. */
typedef struct {
    uint64_t *counters;
    PyObject **others;
} Sink;

/* -- text ---------------------------------------------------------------------------------------------------------- */

static inline const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        p++;
    }
    return p;
}

/* An unsigned integer of up to 64 bits without a leading zero. A fraction is met by whoever wants a comma next. */
static inline const char *read_unsigned(const char *p, uint64_t *value)
{
    unsigned digit = (unsigned)(unsigned char)*p - '0';
    if (digit > 9) {
        return NULL;
    }
    p++;
    uint64_t sum = digit;
    int digits = 1;
    while ((digit = (unsigned)(unsigned char)*p - '0') <= 9) {
        if (sum == 0 || (++digits >= 20 && (digits > 20 || sum > (UINT64_MAX - digit) / 10))) {
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

static inline const char *read_plain(const char *p, const char *end, Plain *plain)
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

/* Behind a string in ASCII, or something that may be a number, true, false or null. */
static const char *skip_scalar(const char *p, const char *end)
{
    Plain plain;
    if (*p == '"') {
        p = read_plain(p, end, &plain);
        return p != NULL && plain.ascii ? p : NULL;
    }
    const char *from = p;
    while ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '-' ||
           *p == '+' || *p == '.') {
        p++;
    }
    return p == from ? NULL : p;
}

/* Behind any value. Containers are matched by their brackets alone: whether it is sound is for Python to find out. */
static const char *skip_value(const char *p, const char *end)
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
        } else if (depth > 0 && *p == closing[depth - 1]) {
            depth--;
            p++;
        } else if (depth > 0 && (*p == ',' || *p == ':')) {
            p++;
        } else if ((p = skip_scalar(p, end)) == NULL) {
            return NULL;
        }
    } while (depth > 0);
    return p;
}

/* So many digits as a number. */
static int number_of(const char *p, int digits)
{
    int number = 0;
    for (int at = 0; at < digits; at++) {
        number = number * 10 + (p[at] - '0');
    }
    return number;
}

/* Nanoseconds since 1970 of YYYY-MM-DDTHH:MM:SS.ffffffZ; -1 for whatever else it is, and for leap seconds. */
static int64_t time_of(const char *p, Py_ssize_t length)
{
    static const char form[] = "0000-00-00T00:00:00.000000Z";
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}; /* days in a year */
    for (int at = 0; at < 27; at++) {
        if (length != 27 || (form[at] == '0' ? p[at] < '0' || p[at] > '9' : p[at] != form[at])) {
            return -1;
        }
    }
    int year = number_of(p, 4), month = number_of(p + 5, 2), day = number_of(p + 8, 2);
    int hour = number_of(p + 11, 2), minute = number_of(p + 14, 2), second = number_of(p + 17, 2);
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1970 || year > MAX_YEAR || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 ||
        second > 59 || day > before[month] - before[month - 1] + (leap && month == 2)) {
        return -1;
    }
    int past = year - 1, leaps = past / 4 - past / 100 + past / 400;
    int days = past * 365 + leaps - 719162 + before[month - 1] + (leap && month > 2) + day - 1;
    int64_t seconds = ((days * (int64_t)24 + hour) * 60 + minute) * 60 + second;
    return seconds * 1000000000 + number_of(p + 20, 6) * (int64_t)1000;
}

/* -- leaves -------------------------------------------------------------------------------------------------------- */

/* A string of Python's, `likely` if that is it. NULL also where the bytes are no UTF-8. */
static PyObject *string_of(const Plain *plain, PyObject *likely)
{
    Py_ssize_t size;
    const char *text = likely == NULL || !PyUnicode_Check(likely) ? NULL : PyUnicode_AsUTF8AndSize(likely, &size);
    if (text != NULL && size == plain->length && memcmp(text, plain->text, (size_t)size) == 0) {
        return Py_NewRef(likely);
    }
    PyErr_Clear();
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
static inline const char *put(const Entry *entry, const Sink *sink, PyObject *leaf, const char *p)
{
    if (leaf == NULL) {
        return NULL;
    }
    Py_XSETREF(sink->others[entry->place], leaf);
    return p;
}

static inline const char *read_counter(const Entry *entry, const Sink *sink, const char *p)
{
    uint64_t value;
    p = read_unsigned(p, &value);
    if (p == NULL || value == MISSING || value < (uint64_t)entry->least || value > (uint64_t)entry->most) {
        return NULL;
    }
    sink->counters[entry->place] = value;
    return p;
}

static const char *read_integer(const Entry *entry, const Sink *sink, const char *p)
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
    return entry->place >= 0 ? put(entry, sink, PyLong_FromLongLong(value), p) : p;
}

static const char *read_boolean(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    int truth = *p == 't';
    Py_ssize_t length = truth ? 4 : 5;
    if (end - p < length || memcmp(p, truth ? "true" : "false", (size_t)length) != 0) {
        return NULL;
    }
    return entry->place >= 0 ? put(entry, sink, Py_NewRef(truth ? Py_True : Py_False), p + length) : p + length;
}

static const char *read_choice(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    Plain plain;
    p = read_plain(p, end, &plain);
    for (int at = 0; p != NULL && at < entry->choice_count; at++) {
        const Word *word = &entry->to.choices[at];
        if (plain.length == word->length && memcmp(plain.text, word->text, (size_t)plain.length) == 0) {
            return entry->place >= 0 ? put(entry, sink, Py_NewRef(word->string), p) : p;
        }
    }
    return NULL;
}

static const char *read_string(const Entry *entry, const Sink *sink, const char *p, const char *end)
{
    Plain plain;
    p = read_plain(p, end, &plain);
    if (p == NULL || (plain.ascii && entry->place < 0)) {
        return p;
    }
    PyObject *string = string_of(&plain, NULL);
    if (string == NULL || entry->place >= 0) {
        return put(entry, sink, string, p);
    }
    Py_DECREF(string); /* it was only to be UTF-8 */
    return p;
}

/* -- objects ------------------------------------------------------------------------------------------------------- */

static const char *read_members(Scanner *self, Node *node, const Sink *sink, const char *p);
static const char *read_labels(Scanner *self, const char *p);

/* What is let through as it is; of a counter also its value, if that is sound. */
static const char *read_loose(Scanner *self, const Entry *entry, const char *p)
{
    const char *from = p;
    uint64_t value;
    p = skip_value(p, self->end);
    if (p == NULL) {
        return NULL;
    }
    if (entry->block >= 0 && read_unsigned(from, &value) == p && value >= (uint64_t)entry->least &&
        value <= (uint64_t)entry->most) {
        self->values[entry->block] = value;
    }
    Py_XSETREF(self->raws[entry->place], PyBytes_FromStringAndSize(from, p - from));
    return self->raws[entry->place] == NULL ? NULL : p;
}

static const char *read_value(Scanner *self, const Entry *entry, const Sink *sink, const char *p)
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
        return read_members(self, entry->to.below, sink, p);
    case LABELS:
        return read_labels(self, p);
    case LOOSE:
        return read_loose(self, entry, p);
    default:
        return NULL;
    }
}

static inline int stands_at(const Scanner *self, const Entry *entry, const char *p)
{
    const char *key = PyBytes_AS_STRING(self->keys) + entry->key;
    return self->end - p >= entry->length && memcmp(p, key, (size_t)entry->length) == 0;
}

/* The entry whose key stands at p; first the one that stood there last time is tried, and then remembered. */
static inline Entry *find_entry(Scanner *self, Node *node, int16_t *expected, const char *p)
{
    if (*expected < node->count && stands_at(self, &node->entries[*expected], p)) {
        return &node->entries[*expected];
    }
    for (int16_t at = 0; at < node->count; at++) {
        if (stands_at(self, &node->entries[at], p)) {
            *expected = at;
            return &node->entries[at];
        }
    }
    return NULL;
}

/* Adds a number to a list; -1: an exception is set. */
static int append_number(PyObject *list, Py_ssize_t value)
{
    PyObject *number = PyLong_FromSsize_t(value);
    int failed = number == NULL || PyList_Append(list, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* At an object's end: which keys were not in it, and whether that is allowed. */
static int may_lack_the_rest(Scanner *self, const Node *node, uint64_t number)
{
    for (int16_t at = 0; at < node->count; at++) {
        const Entry *entry = &node->entries[at];
        if (entry->seen_in == number) {
            continue;
        }
        if (entry->required || (entry->kind == GROUP && append_number(self->absent, entry->place) < 0)) {
            return 0;
        }
    }
    return 1;
}

/* A key that the layout does not have, and what stands behind it. A label has none of these. */
static const char *read_unknown(Scanner *self, const Node *node, const char *p)
{
    Plain plain;
    p = node == self->label ? NULL : read_plain(p, self->end, &plain);
    PyObject *key = p == NULL ? NULL : string_of(&plain, NULL), *found = NULL;
    const char *from;
    if (key != NULL && *(p = skip_blanks(p)) == ':' &&
        (p = skip_value(from = skip_blanks(p + 1), self->end)) != NULL) {
        found = Py_BuildValue("(iOy#)", (int)node->place, key, from, (Py_ssize_t)(p - from));
    }
    int failed = found == NULL || PyList_Append(self->unknown, found) < 0;
    Py_XDECREF(key);
    Py_XDECREF(found);
    return failed ? NULL : p;
}

/* One key, and what stands behind it. */
static inline const char *read_member(Scanner *self, Entry *entry, const Sink *sink, uint64_t number, const char *p)
{
    if (entry->seen_in == number) {
        self->refusal = REPEATED;
        return NULL;
    }
    entry->seen_in = number;
    p = skip_blanks(p + entry->length);
    return *p == ':' ? read_value(self, entry, sink, skip_blanks(p + 1)) : NULL;
}

static const char *read_members(Scanner *self, Node *node, const Sink *sink, const char *p)
{
    if (*p != '{') {
        return NULL;
    }
    uint64_t number = ++self->objects;
    int16_t seen = 0, *expected = &node->first;
    p = skip_blanks(p + 1);
    if (*p == '}') {
        return may_lack_the_rest(self, node, number) ? p + 1 : NULL;
    }
    for (;;) {
        Entry *entry = find_entry(self, node, expected, p);
        p = entry == NULL ? read_unknown(self, node, p) : read_member(self, entry, sink, number, p);
        if (p == NULL) {
            return NULL;
        }
        if (entry != NULL) {
            seen++;
            expected = &entry->next;
        }
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

/* -- the sample before --------------------------------------------------------------------------------------------- */

/*
 * What is kept of a sample, in objects that nobody can change and that lead nowhere else: its blocks; its labels, each
 * with its leaves behind it; and the same as it was handed out.
 */
enum { BLOCKS_KEPT, LABELS_KEPT, CONFIGURATION_KEPT, PARTS_KEPT };

/* The connection's id, borrowed; NULL where it is not known, or no string. */
static PyObject *id_of(const Scanner *self)
{
    PyObject *id = self->own[self->id];
    return id != NULL && PyUnicode_CheckExact(id) ? id : NULL;
}

/* Looks for the connection's sample before; -1: an exception is set. */
static int recall(Scanner *self)
{
    PyObject *id = id_of(self);
    if (self->before == NULL && id != NULL) {
        self->before = Py_XNewRef(PyDict_GetItemWithError(self->kept, id));
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* The leaves of all labels as they are handed out, by label: the same object as before where they are the same. */
static PyObject *configuration_of(const Scanner *self)
{
    PyObject *before = self->before;
    if (before != NULL && self->same_labels &&
        PyTuple_GET_SIZE(PyTuple_GET_ITEM(before, LABELS_KEPT)) == PyList_GET_SIZE(self->labels_read)) {
        return Py_NewRef(PyTuple_GET_ITEM(before, CONFIGURATION_KEPT));
    }
    return PyDictProxy_New(self->configuration);
}

/* Keeps a sample for the connection's next one. From time to time all are let go, since connections end. */
static int keep(Scanner *self, PyObject *list_of_blocks, PyObject *configuration)
{
    PyObject *id = id_of(self), *kept = NULL;
    if (id == NULL) {
        return 0;
    }
    PyObject *blocks = PyList_AsTuple(list_of_blocks), *labels = PyList_AsTuple(self->labels_read);
    if (blocks != NULL && labels != NULL) {
        kept = PyTuple_Pack(PARTS_KEPT, blocks, labels, configuration);
    }
    if (++self->since_cleared > 4096 + 4 * PyDict_GET_SIZE(self->kept) || PyDict_GET_SIZE(self->kept) >= MAX_KEPT) {
        PyDict_Clear(self->kept);
        self->since_cleared = 0;
    }
    int failed = kept == NULL || PyDict_SetItem(self->kept, id, kept) < 0;
    Py_XDECREF(blocks);
    Py_XDECREF(labels);
    Py_XDECREF(kept);
    return failed ? -1 : 0;
}

/* -- counters ------------------------------------------------------------------------------------------------------ */

static Py_ssize_t counters_length(PyObject *object)
{
    return Py_SIZE(object);
}

static PyObject *counters_item(PyObject *object, Py_ssize_t at)
{
    if (at < 0 || at >= Py_SIZE(object)) {
        PyErr_SetString(PyExc_IndexError, "there is no such counter");
        return NULL;
    }
    uint64_t value = ((Counters *)object)->values[at];
    return value == MISSING ? PyLong_FromLong(-1) : PyLong_FromUnsignedLongLong(value);
}

static inline int has_values(PyObject *counters, const uint64_t *values, Py_ssize_t count)
{
    return Py_SIZE(counters) == count &&
           memcmp(((Counters *)counters)->values, values, (size_t)count * sizeof(uint64_t)) == 0;
}

/* Equal to the same numbers, in another object of the type or in a tuple. */
static PyObject *counters_compare(PyObject *one, PyObject *two, int operator)
{
    int same;
    if (operator != Py_EQ && operator != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (Py_IS_TYPE(two, Py_TYPE(one))) {
        same = has_values(one, ((Counters *)two)->values, Py_SIZE(two));
    } else if (PyTuple_Check(two)) {
        PyObject *tuple = PySequence_Tuple(one);
        same = tuple == NULL ? -1 : PyObject_RichCompareBool(tuple, two, Py_EQ);
        Py_XDECREF(tuple);
    } else {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return same < 0 ? NULL : PyBool_FromLong(operator == Py_EQ ? same : !same);
}

/* Counters refer to nothing but their type, so the garbage collector need not know of them: there are very many. */
static void counters_dealloc(PyObject *object)
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
    .name = "sora_stats_harness.judge._accelerator.Counters",
    .basicsize = offsetof(Counters, values),
    .itemsize = sizeof(uint64_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = counters_slots,
};

/* Counters as an object: `before` where that has the same. */
static PyObject *counters_of(const Scanner *self, const uint64_t *values, Py_ssize_t count, PyObject *before)
{
    if (before != NULL && before != Py_None && has_values(before, values, count)) {
        return Py_NewRef(before);
    }
    Counters *counters = PyObject_NewVar(Counters, self->counters_type, count);
    if (counters != NULL) {
        memcpy(counters->values, values, (size_t)count * sizeof(uint64_t));
    }
    return (PyObject *)counters;
}

/* -- labels -------------------------------------------------------------------------------------------------------- */

/* The leaves that were just read, but for counters, as a tuple; `before` where that has the same. */
static PyObject *leaves_of(Scanner *self, PyObject *before)
{
    PyObject *leaves = PyTuple_New(self->label_leaves);
    for (Py_ssize_t place = 0; leaves != NULL && place < self->label_leaves; place++) {
        PyObject *leaf = self->leaves_of_label[place];
        PyTuple_SET_ITEM(leaves, place, leaf == NULL ? Py_NewRef(self->unset) : leaf);
        self->leaves_of_label[place] = NULL;
    }
    int same = leaves == NULL || before == NULL ? 0 : PyObject_RichCompareBool(leaves, before, Py_EQ);
    if (same != 0) {
        Py_SETREF(leaves, same < 0 ? NULL : Py_NewRef(before));
    }
    return leaves;
}

/* Adds what was just read of a label to the sample; -1: an exception is set. */
static int add_label(Scanner *self, PyObject *label, PyObject *leaves_before)
{
    PyObject *counters = counters_of(self, self->label_values, self->label_counters, NULL);
    PyObject *leaves = leaves_of(self, leaves_before);
    int failed = counters == NULL || leaves == NULL || PyDict_SetItem(self->labels, label, counters) < 0 ||
                 PyDict_SetItem(self->configuration, label, leaves) < 0 ||
                 PyList_Append(self->labels_read, label) < 0 || PyList_Append(self->labels_read, leaves) < 0;
    self->same_labels &= leaves == leaves_before;
    Py_XDECREF(counters);
    Py_XDECREF(leaves);
    return failed ? -1 : 0;
}

/* What the connection's sample before has at a place among its labels and their leaves, borrowed; NULL: nothing. */
static PyObject *label_part_before(const Scanner *self, Py_ssize_t place)
{
    PyObject *labels = self->before == NULL ? NULL : PyTuple_GET_ITEM(self->before, LABELS_KEPT);
    return labels != NULL && place < PyTuple_GET_SIZE(labels) ? PyTuple_GET_ITEM(labels, place) : NULL;
}

/* A label, and the object behind it. What stood there in the sample before is likely to stand there again. */
static const char *read_label(Scanner *self, const char *p)
{
    Plain plain;
    Sink sink = {self->label_values, self->leaves_of_label};
    Py_ssize_t place = PyList_GET_SIZE(self->labels_read);
    PyObject *likely = label_part_before(self, place), *leaves = label_part_before(self, place + 1);
    p = read_plain(p, self->end, &plain);
    PyObject *label = p == NULL ? NULL : string_of(&plain, likely);
    if (label == NULL) {
        return NULL;
    }
    p = skip_blanks(p);
    if (PyDict_Contains(self->labels, label) != 0) { /* it may also be that an exception is set */
        self->refusal = REPEATED;
        p = NULL;
    } else {
        p = *p == ':' ? read_members(self, self->label, &sink, skip_blanks(p + 1)) : NULL;
    }
    if (p != NULL && add_label(self, label, label == likely ? leaves : NULL) < 0) {
        p = NULL;
    }
    Py_DECREF(label);
    return p;
}

static const char *read_labels(Scanner *self, const char *p)
{
    if (*p != '{') {
        return NULL;
    }
    p = skip_blanks(p + 1);
    if (*p == '}') {
        return p + 1;
    }
    if (recall(self) < 0) {
        return NULL;
    }
    while ((p = read_label(self, p)) != NULL) {
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

/* The sum of some terms; `bits` collects those of the counters. */
static inline uint64_t sum_of(const Scanner *self, const Term *terms, int count, uint64_t *bits)
{
    uint64_t sum = 0;
    for (int at = 0; at < count; at++) {
        uint64_t value = self->values[terms[at].slot];
        *bits |= value;
        sum += (uint64_t)terms[at].factor * value;
    }
    return sum;
}

/* Whether a relation holds for certain. One whose counters are not all there promises nothing; that holds as well. */
static inline int holds(const Scanner *self, const Row *row)
{
    uint64_t bits = 0, excuses = 0, left = sum_of(self, row->terms, row->left, &bits);
    uint64_t right = sum_of(self, row->terms + row->left, row->right, &bits);
    if (bits < LARGE) { /* else the sums may have overflowed */
        if (left == right || (!row->equal && left < right)) {
            return 1;
        }
        sum_of(self, row->terms + row->left + row->right, row->unless, &excuses); /* what is MISSING excuses as well */
        return row->equal && left > right && excuses != 0;
    }
    for (int at = 0; at < row->left + row->right; at++) {
        if (self->values[row->terms[at].slot] == MISSING) {
            return 1;
        }
    }
    return 0;
}

static int all_hold(const Scanner *self)
{
    for (Py_ssize_t at = 0; at < self->row_count; at++) {
        if (!holds(self, &self->rows[at])) {
            return 0;
        }
    }
    return 1;
}

/* -- connections --------------------------------------------------------------------------------------------------- */

/* The blocks as a list, with None for those that are not there. */
static PyObject *blocks_of(const Scanner *self)
{
    PyObject *blocks = PyList_New(self->blocks);
    const uint64_t *values = self->values;
    for (Py_ssize_t at = 0; blocks != NULL && at < self->blocks; at++) {
        PyObject *block = Py_None;
        if (self->there[at]) {
            PyObject *before = self->before == NULL ? NULL : PyTuple_GET_ITEM(self->before, BLOCKS_KEPT);
            block = counters_of(self, values, self->sizes[at], before == NULL ? NULL : PyTuple_GET_ITEM(before, at));
        }
        if (block == NULL) {
            Py_CLEAR(blocks);
            break;
        }
        PyList_SET_ITEM(blocks, at, block == Py_None ? Py_NewRef(block) : block);
        values += self->sizes[at];
    }
    return blocks;
}

/* Objects, and more of them, as a tuple, with None for those that are not there. */
static PyObject *tuple_of(PyObject *const *objects, Py_ssize_t count, PyObject *const *more, Py_ssize_t more_count)
{
    PyObject *tuple = PyTuple_New(count + more_count);
    for (Py_ssize_t at = 0; tuple != NULL && at < count + more_count; at++) {
        PyObject *object = at < count ? objects[at] : more[at - count];
        PyTuple_SET_ITEM(tuple, at, Py_NewRef(object == NULL ? Py_None : object));
    }
    return tuple;
}

/* What was let through, as a tuple: an empty one where there is nothing. */
static PyObject *raws_of(const Scanner *self)
{
    for (Py_ssize_t at = 0; at < self->loose; at++) {
        if (self->raws[at] != NULL) {
            return tuple_of(self->raws, self->loose, NULL, 0);
        }
    }
    return PyTuple_New(0);
}

/* Whether all of its own leaves are there, and none is so long that it has to be looked at. */
static int are_own_leaves_short(const Scanner *self)
{
    for (Py_ssize_t at = 0; at < self->own_leaves; at++) {
        PyObject *leaf = self->own[at];
        if (leaf == NULL || (PyUnicode_CheckExact(leaf) && PyUnicode_GET_LENGTH(leaf) > self->short_leaf)) {
            return 0;
        }
    }
    return 1;
}

/* When the sample was taken, in nanoseconds; None where that, or another of its own leaves, has to be looked at. */
static PyObject *time_of_sample(const Scanner *self)
{
    Py_ssize_t length;
    PyObject *written = self->own[0];
    int is_text = written != NULL && PyUnicode_CheckExact(written);
    const char *text = is_text ? PyUnicode_AsUTF8AndSize(written, &length) : NULL;
    int64_t time = text == NULL ? -1 : time_of(text, length);
    return time < 0 || !are_own_leaves_short(self) ? Py_NewRef(Py_None) : PyLong_FromLongLong(time);
}

/* The sample that was just read, as the tuple that accelerator.py describes. */
static PyObject *hand_over(Scanner *self)
{
    if (recall(self) < 0) {
        return NULL;
    }
    PyObject *sample = NULL, *blocks = blocks_of(self), *time = time_of_sample(self);
    PyObject *configuration = configuration_of(self);
    PyObject *raws = raws_of(self), *fields = NULL;
    if (blocks != NULL && time != NULL && raws != NULL && configuration != NULL &&
        keep(self, blocks, configuration) == 0) {
        PyObject *more[] = {blocks, self->labels, configuration, all_hold(self) ? Py_True : Py_False, time};
        fields = tuple_of(self->own, self->own_leaves, more, 5);
    }
    if (fields != NULL) {
        sample = PyTuple_Pack(4, fields, self->absent, raws, self->unknown);
    }
    Py_XDECREF(blocks);
    Py_XDECREF(configuration);
    Py_XDECREF(time);
    Py_XDECREF(raws);
    Py_XDECREF(fields);
    return sample;
}

static void forget(PyObject **objects, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_CLEAR(objects[at]);
    }
}

static void forget_sample(Scanner *self)
{
    forget(self->own, self->own_leaves);
    forget(self->leaves_of_label, self->label_leaves);
    forget(self->raws, self->loose);
    Py_CLEAR(self->absent);
    Py_CLEAR(self->unknown);
    Py_CLEAR(self->labels);
    Py_CLEAR(self->configuration);
    Py_CLEAR(self->labels_read);
    Py_CLEAR(self->before);
}

/* One connection, which begins at *at. */
static PyObject *read_connection(Scanner *self, const char **at)
{
    PyObject *sample = NULL;
    Sink sink = {self->values, self->own};
    memset(self->there, 0, (size_t)self->blocks);
    memset(self->values, 0xff, (size_t)self->slots * sizeof(uint64_t)); /* MISSING */
    self->absent = PyList_New(0);
    self->unknown = PyList_New(0);
    self->same_labels = 1;
    self->labels = PyDict_New();
    self->configuration = PyDict_New();
    self->labels_read = PyList_New(0);
    if (self->absent != NULL && self->unknown != NULL && self->labels != NULL && self->configuration != NULL &&
        self->labels_read != NULL) {
        *at = read_members(self, self->root, &sink, *at);
        sample = *at == NULL ? NULL : hand_over(self);
    }
    forget_sample(self);
    return sample;
}

/* A whole body: one connection, or an array of them. */
static const char *read_body(Scanner *self, PyObject *found, int many, const char *p)
{
    p = skip_blanks(p);
    if (many && *p != '[') {
        return NULL;
    }
    if (many && *(p = skip_blanks(p + 1)) == ']') {
        return skip_blanks(p + 1);
    }
    for (;;) {
        PyObject *sample = read_connection(self, &p);
        int failed = sample == NULL || PyList_Append(found, sample) < 0;
        Py_XDECREF(sample);
        if (failed) {
            return NULL;
        }
        p = skip_blanks(p);
        if (!many) {
            return p;
        }
        if (*p == ']') {
            return skip_blanks(p + 1);
        }
        if (*p != ',') {
            return NULL;
        }
        p = skip_blanks(p + 1);
    }
}

PyDoc_STRVAR(read_doc,
"read(body, many)\n--\n\n"
"A body's connections as a list of tuples; 0 where it is refused, 1 where that is for a repeated key.");

static PyObject *scanner_read(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Scanner *self = (Scanner *)object;
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyBool_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "read() takes bytes, and whether they should be an array");
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
    self->busy = 0;
    Py_DECREF(body);
    return found != NULL || PyErr_Occurred() ? found : PyLong_FromLong(self->refusal);
}

/* -- making a scanner ---------------------------------------------------------------------------------------------- */

/*
 * A layout comes as tables of numbers of 64 bits, a row after the other. Nothing in them is trusted: each number is
 * held against what it counts or points to, so that no layout, however wrong, makes a scanner that leaves its memory.
 */
typedef struct {
    const int64_t *numbers;
    Py_ssize_t rows;
} Table;

static int complain(const char *what)
{
    PyErr_Format(PyExc_ValueError, "a scanner cannot have these %s", what);
    return -1;
}

static inline int is_in(int64_t number, int64_t least, int64_t most)
{
    return number >= least && number <= most;
}

/* Whether so many things from a place on are within those that there are. */
static inline int are_within(int64_t from, int64_t count, int64_t all)
{
    return is_in(from, 0, all) && is_in(count, 0, all - from);
}

/*
 * Numbers of own leaves, a label's counters and its other leaves, groups and loose values; the place of the id; and how
 * many characters an own leaf may have without being looked at.
 */
static int make_counts(Scanner *self, const Table *table)
{
    static const int64_t most[] = {MAX_OWN, MAX_LABEL, MAX_LABEL, MAX_NODES, MAX_LOOSE, MAX_OWN, INT16_MAX};
    Py_ssize_t *const counts[] = {
        &self->own_leaves, &self->label_counters, &self->label_leaves, &self->groups, &self->loose, &self->id,
        &self->short_leaf,
    };
    for (int at = 0; table->rows == 1 && at < 7; at++) {
        *counts[at] = is_in(table->numbers[at], 0, most[at]) ? (Py_ssize_t)table->numbers[at] : -1;
        if (*counts[at] < 0) {
            return complain("counts");
        }
    }
    return self->id < self->own_leaves ? 0 : complain("counts");
}

/* Blocks, from how many counters each has. */
static int make_blocks(Scanner *self, const Table *table)
{
    for (Py_ssize_t at = 0; at < table->rows; at++) {
        if (!is_in(table->numbers[at], 0, MAX_ENTRIES - self->slots)) {
            return complain("blocks");
        }
        self->sizes[at] = (int16_t)table->numbers[at];
        self->slots += self->sizes[at];
    }
    self->blocks = table->rows;
    return 0;
}

/* Words, from strings. */
static int make_words(Scanner *self)
{
    Py_ssize_t count = PyTuple_GET_SIZE(self->strings);
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *string = PyTuple_GET_ITEM(self->strings, at);
        Word *word = &self->words[at];
        if (count > MAX_WORDS || !PyUnicode_CheckExact(string)) {
            return complain("words");
        }
        word->string = string;
        word->text = PyUnicode_AsUTF8AndSize(string, &word->length);
        if (word->text == NULL) {
            return -1;
        }
    }
    self->words_made = count;
    return 0;
}

/* A term of a relation, from (factor, slot). */
static int make_term(const Scanner *self, Term *term, const int64_t *row)
{
    if (!is_in(row[0], 1, MAX_FACTORS) || !is_in(row[1], 0, self->slots - 1)) {
        return complain("terms");
    }
    *term = (Term){.factor = (int16_t)row[0], .slot = (int16_t)row[1]};
    return 0;
}

/* Relations, from (whether the sides are equal, terms on the left, on the right, and that excuse). */
static int make_rows(Scanner *self, const Table *rows, const Table *terms)
{
    Py_ssize_t at = 0;
    for (Py_ssize_t number = 0; number < rows->rows; number++) {
        const int64_t *row = rows->numbers + 4 * number;
        self->rows[number] = (Row){
            .terms = self->terms + at, .equal = row[0] != 0, .left = (int16_t)row[1], .right = (int16_t)row[2],
            .unless = (int16_t)row[3],
        };
        Py_ssize_t factors = 0;
        for (int side = 1; side < 4; side++) {
            if (!are_within(at, row[side], terms->rows)) {
                return complain("relations");
            }
            for (Py_ssize_t end = at + (Py_ssize_t)row[side]; at < end; at++) {
                if (make_term(self, &self->terms[at], terms->numbers + 2 * at) < 0) {
                    return -1;
                }
                factors += self->terms[at].factor;
            }
        }
        if (factors > MAX_FACTORS) {
            return complain("factors");
        }
    }
    self->row_count = rows->rows;
    return 0;
}

/* The columns of an entry. FROM and COUNT are the words of a choice, and FROM a group's node. */
enum { KIND, KEY, LENGTH, REQUIRED, PLACE, BLOCK, LEAST, MOST, FROM, COUNT, ENTRY_COLUMNS };

/* Whether what an entry refers to is there. A label has no groups, and lets nothing through. */
static int is_sound(const Scanner *self, const int64_t *row, int of_label)
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
        return is_in(row[PLACE], -1, leaves - 1) && are_within(row[FROM], row[COUNT], self->words_made);
    case GROUP: /* only nodes that are made already: so there is no way round in a circle */
        return !of_label && is_in(row[PLACE], 0, self->groups - 1) && is_in(row[BLOCK], -1, self->blocks - 1) &&
               is_in(row[FROM], self->label != NULL, self->nodes_made - 1) && self->nodes[row[FROM]].depth < MAX_DEPTH;
    case LABELS:
        return !of_label && self->label != NULL;
    case LOOSE: /* limits are a counter's */
        return !of_label && is_in(row[PLACE], 0, self->loose - 1) && is_in(row[BLOCK], -1, self->slots - 1) &&
               row[LEAST] >= 0 && row[MOST] >= -1;
    default:
        return 0;
    }
}

static int make_entry(Scanner *self, Entry *entry, const int64_t *row, int of_label)
{
    if (!are_within(row[KEY], row[LENGTH], PyBytes_GET_SIZE(self->keys)) || row[KEY] > INT32_MAX ||
        row[LENGTH] > INT16_MAX || !is_sound(self, row, of_label)) {
        return complain("entries");
    }
    *entry = (Entry){
        .key = (int32_t)row[KEY], .length = (int16_t)row[LENGTH], .kind = (uint8_t)row[KIND],
        .required = row[REQUIRED] != 0, .place = (int16_t)row[PLACE], .block = (int16_t)row[BLOCK],
        .least = row[LEAST], .most = row[MOST],
    };
    if (entry->kind == GROUP) {
        entry->to.below = &self->nodes[row[FROM]];
        entry->to.below->place = entry->place;
    }
    if (entry->kind == CHOICE) {
        entry->to.choices = &self->words[row[FROM]];
        entry->choice_count = (int16_t)row[COUNT];
    }
    return 0;
}

/* A node of the next entries, `count` from a place on. */
static int make_node(Scanner *self, const Table *entries, int64_t from, int64_t count, int of_label)
{
    Node *node = &self->nodes[self->nodes_made];
    if (!are_within(from, count, entries->rows)) {
        return complain("nodes");
    }
    *node = (Node){.entries = &self->entries[from], .count = (int16_t)count};
    for (int16_t at = 0; at < count; at++) {
        Entry *entry = &node->entries[at];
        if (make_entry(self, entry, entries->numbers + ENTRY_COLUMNS * (from + at), of_label) < 0) {
            return -1;
        }
        entry->next = (int16_t)(at + 1);
        if (entry->kind == GROUP && node->depth <= entry->to.below->depth) {
            node->depth = (int16_t)(entry->to.below->depth + 1);
        }
    }
    self->nodes_made++;
    return 0;
}

/* Nodes, from how many entries each has. The first is a label's if there are labels, and the last one is the root. */
static int make_nodes(Scanner *self, const Table *nodes, const Table *entries, int labels)
{
    int64_t entry = 0;
    for (Py_ssize_t at = 0; at < nodes->rows; at++) {
        int of_label = labels && at == 0;
        if (make_node(self, entries, entry, nodes->numbers[at], of_label) < 0) {
            return -1;
        }
        if (of_label) {
            self->label = &self->nodes[at];
        }
        entry += nodes->numbers[at];
    }
    if (nodes->rows < 1 + labels) {
        return complain("nodes");
    }
    self->root = &self->nodes[nodes->rows - 1];
    return 0;
}

enum { COUNTS, SIZES, TERMS, ROWS, NODES, ENTRIES, TABLES };

/* Looks at some bytes as tables. */
static int make_tables(Table *tables, PyObject *const *given)
{
    static const Py_ssize_t columns[TABLES] = {7, 1, 2, 4, 1, ENTRY_COLUMNS};
    static const Py_ssize_t most[TABLES] = {1, MAX_BLOCKS, MAX_TERMS, MAX_ROWS, MAX_NODES, MAX_ENTRIES};
    for (int at = 0; at < TABLES; at++) {
        Py_ssize_t bytes = PyBytes_GET_SIZE(given[at]), row = columns[at] * (Py_ssize_t)sizeof(int64_t);
        if (bytes % row != 0 || bytes / row > most[at]) {
            return complain("tables");
        }
        tables[at] = (Table){(const int64_t *)(const void *)PyBytes_AS_STRING(given[at]), bytes / row};
    }
    return 0;
}

/* There is no __init__: a scanner is made whole, or not at all. */
static PyObject *scanner_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {
        "keys", "strings", "counts", "blocks", "terms", "rows", "nodes", "entries", "labels", "unset", NULL,
    };
    PyObject *keys, *strings, *given[TABLES], *unset;
    Table tables[TABLES];
    int labels;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "SO!SSSSSSpO:Scanner", names, &keys, &PyTuple_Type, &strings, &given[COUNTS],
            &given[SIZES], &given[TERMS], &given[ROWS], &given[NODES], &given[ENTRIES], &labels, &unset
        ) || make_tables(tables, given) < 0) {
        return NULL;
    }
    State *state = PyType_GetModuleState(type);
    if (state == NULL || state->counters_type == NULL) {
        PyErr_SetString(PyExc_TypeError, "the module of this type is gone");
        return NULL;
    }
    Scanner *self = (Scanner *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->counters_type = (PyTypeObject *)Py_NewRef(state->counters_type);
    self->unset = Py_NewRef(unset);
    self->keys = Py_NewRef(keys);
    self->strings = Py_NewRef(strings);
    self->kept = PyDict_New();
    if (self->kept == NULL || make_counts(self, &tables[COUNTS]) < 0 || make_blocks(self, &tables[SIZES]) < 0 ||
        make_words(self) < 0 || make_rows(self, &tables[ROWS], &tables[TERMS]) < 0 ||
        make_nodes(self, &tables[NODES], &tables[ENTRIES], labels) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* While nothing is read, a scanner leads to tuples of its own only, so it can't be part of a cycle. */
static void scanner_dealloc(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->counters_type);
    Py_XDECREF(self->unset);
    Py_XDECREF(self->keys);
    Py_XDECREF(self->strings);
    Py_XDECREF(self->kept);
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
    .name = "sora_stats_harness.judge._accelerator.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = scanner_slots,
};

/* -- order --------------------------------------------------------------------------------------------------------- */

/* How a block of counters compares with the same block of an earlier sample; FALLEN also where one is no Counters. */
enum Change { SAME, GROWN, FALLEN };

static enum Change compare(PyObject *module, PyObject *before, PyObject *after)
{
    PyTypeObject *type = ((State *)PyModule_GetState(module))->counters_type;
    int grew = 0, fell = !Py_IS_TYPE(before, type) || !Py_IS_TYPE(after, type) || Py_SIZE(before) != Py_SIZE(after);
    const uint64_t *old = ((Counters *)before)->values, *new = ((Counters *)after)->values;
    for (Py_ssize_t at = 0, size = fell ? 0 : Py_SIZE(before); at < size; at++) {
        grew |= new[at] + 1 > old[at] + 1; /* without a way out: a compiler takes several at once */
        fell |= new[at] + 1 < old[at] + 1;
    }
    return fell ? FALLEN : grew ? GROWN : SAME;
}

/* What these functions give is told in accelerator.py, beside those in Python that give the same. */

PyDoc_STRVAR(merge_risen_blocks_doc, "merge_risen_blocks(known, blocks)\n--\n\nA copy of the first list with what rose.");

static PyObject *merge_risen_blocks(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "merge_risen_blocks() takes two lists");
        return NULL;
    }
    PyObject *known = arguments[0], *blocks = arguments[1], *top = Py_NewRef(known), *left = PyTuple_New(0);
    int failed = left == NULL;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(known) && at < PyList_GET_SIZE(blocks); at++) {
        PyObject *most = PyList_GET_ITEM(known, at), *mine = PyList_GET_ITEM(blocks, at);
        if (most == mine) {
            continue;
        }
        Py_INCREF(mine);
        enum Change change = compare(module, most, mine);
        if (change == GROWN && top == known) {
            Py_SETREF(top, PyList_GetSlice(known, 0, PyList_GET_SIZE(known)));
        }
        if (change == FALLEN && PyTuple_CheckExact(left)) {
            Py_SETREF(left, PyList_New(0));
        }
        failed = top == NULL || left == NULL ||
                 (change == SAME    ? PyList_SetItem(blocks, at, Py_NewRef(most))
                  : change == GROWN ? PyList_SetItem(top, at, Py_NewRef(mine))
                                    : append_number(left, at)) < 0;
        Py_DECREF(mine);
    }
    PyObject *result = failed ? NULL : PyTuple_Pack(2, top, left);
    Py_XDECREF(top);
    Py_XDECREF(left);
    return result;
}

PyDoc_STRVAR(merge_risen_labels_doc, "merge_risen_labels(known, labels)\n--\n\nOne of the two dicts, or None.");

static PyObject *merge_risen_labels(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyDict_CheckExact(arguments[0]) || !PyDict_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "merge_risen_labels() takes two dicts");
        return NULL;
    }
    PyObject *known = arguments[0], *labels = arguments[1], *top = known, *label, *other, *most, *mine;
    int fits = PyDict_GET_SIZE(known) == PyDict_GET_SIZE(labels);
    for (Py_ssize_t at = 0, to = 0; fits && PyDict_Next(known, &at, &label, &most);) {
        PyDict_Next(labels, &to, &other, &mine);
        enum Change change = compare(module, most, mine);
        fits = change != FALLEN && (label == other || (PyUnicode_CheckExact(label) && PyUnicode_CheckExact(other) &&
                                                       PyUnicode_Compare(label, other) == 0));
        top = change == GROWN ? labels : top;
    }
    return Py_NewRef(fits ? top : Py_None);
}

PyDoc_STRVAR(find_first_holders_doc, "find_first_holders(steps, block, owners, known)\n--\n\nWho had each value first.");

static PyObject *find_first_holders(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    PyTypeObject *type = ((State *)PyModule_GetState(module))->counters_type;
    Py_ssize_t block = count == 4 ? PyLong_AsSsize_t(arguments[1]) : -1, length = 0;
    if (block < 0 || !PyList_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[2]) ||
        !PyList_CheckExact(arguments[3]) || PyList_GET_SIZE(arguments[0]) != PyList_GET_SIZE(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "find_first_holders() takes three lists, two of one length, and a block");
        return NULL;
    }
    const Counters *steps[MAX_STEPS]; /* the newest first; of those that share an object, the oldest */
    PyObject *owners[MAX_STEPS], *known = arguments[3];
    for (Py_ssize_t at = PyList_GET_SIZE(arguments[0]); at-- > 0;) {
        PyObject *step = PyList_GET_ITEM(arguments[0], at);
        PyObject *each = PyList_CheckExact(step) && block < PyList_GET_SIZE(step) ? PyList_GET_ITEM(step, block) : NULL;
        if (each == Py_None && length > 0) {
            known = NULL;
            break;
        }
        length += length == 0 || each != (PyObject *)steps[length - 1];
        if (each == NULL || !Py_IS_TYPE(each, type) || length > MAX_STEPS ||
            (length > 1 && Py_SIZE(each) != Py_SIZE(steps[0]))) {
            Py_RETURN_NONE;
        }
        steps[length - 1] = (Counters *)each;
        owners[length - 1] = PyList_GET_ITEM(arguments[2], at);
    }
    Py_ssize_t size = length == 0 ? 0 : Py_SIZE(steps[0]);
    int fits = known == NULL || PyList_GET_SIZE(known) == size;
    PyObject *holders = fits ? PyList_New(size) : Py_NewRef(Py_None);
    for (Py_ssize_t place = 0; fits && holders != NULL && place < size; place++) {
        Py_ssize_t step = 0;
        while (step + 1 < length && steps[step + 1]->values[place] == steps[0]->values[place]) {
            step++;
        }
        int is_known = step == length - 1 && known != NULL;
        PyList_SET_ITEM(holders, place, Py_NewRef(is_known ? PyList_GET_ITEM(known, place) : owners[step]));
    }
    return holders;
}

/* -- the module ---------------------------------------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"merge_risen_blocks", (PyCFunction)(void (*)(void))merge_risen_blocks, METH_FASTCALL, merge_risen_blocks_doc},
    {"merge_risen_labels", (PyCFunction)(void (*)(void))merge_risen_labels, METH_FASTCALL, merge_risen_labels_doc},
    {"find_first_holders", (PyCFunction)(void (*)(void))find_first_holders, METH_FASTCALL, find_first_holders_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->counters_type = add_type(module, &counters_spec);
    PyTypeObject *scanner_type = state->counters_type == NULL ? NULL : add_type(module, &scanner_spec);
    Py_XDECREF(scanner_type);
    return scanner_type == NULL ? -1 : PyModule_AddIntConstant(module, "INTERFACE_VERSION", INTERFACE_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(((State *)PyModule_GetState(module))->counters_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    Py_CLEAR(((State *)PyModule_GetState(module))->counters_type);
    return 0;
}

static void module_free(void *module)
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
    .m_name = "sora_stats_harness.judge._accelerator",
    .m_doc = "Scans bodies in which there is nothing to find; see accelerator.py.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__accelerator(void)
{
    return PyModuleDef_Init(&module_def);
}
