/*
 * The accelerator: reads bodies in which there is nothing to find, and begins lines of recordings.
 *
 * A Scanner is made from an edition's layout (accelerator.py). It takes a body apart in one pass and accepts it only
 * where every key, type, limit and value is as documented, no key stands twice, and the text is plain: strings without
 * escapes, integers without fraction or exponent, within 64 bits. Whatever else it meets it refuses, without saying
 * more than whether a key was repeated, and the reader in Python judges the body from its first byte. So a mistake in
 * here can cost time; and that it can't cost a finding is what the tests compare the two for.
 *
 * Counters are handed out as objects of a type of their own, which acts as a tuple of integers and is an array: nothing
 * else of a reading is as large, and as integers of Python's they would take five times the memory and be fetched from
 * all over it. Blocks that are as they were in the connection's reading before are handed out as the same objects: what
 * compares readings later then sees equality at a glance.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define CONTRACT 6 /* as built.py has it: what is handed over, in which order */

enum Kind { COUNTER, LEVEL, INTEGER, BOOLEAN, STRING, CHOICE, TEXT, GROUP, LABELS, LOOSE, KINDS };

enum Refusal { ODD = 0, REPEATED = 1 };

enum {
    TEXTS = 5, MAX_DEPTH = 16, MAX_SKIPPED = 100, SHORT_BYTES = 63, MAX_FACTOR = 255, MAX_TERMS = 127,
    MOST_KEPT = 10000, MAX_KEYS = 1 << 24, MAX_BLOCKS = INT16_MAX,
    MOST_DIGITS = 20, WORDS_BYTES = 100, /* of a line of a recording: an integer's, and its keys' together */
};

struct Node;

/* One key. There are hundreds, all needed for each body: small, so that they stay at hand. */
typedef struct {
    char *quoted;     /* the key with its quotes */
    uint64_t seen_in; /* the object in which it was seen last */
    int64_t least, most;
    PyObject *choices; /* a tuple of strings */
    struct Node *below;
    int32_t length;
    int32_t next;  /* the entry that followed it last time */
    int32_t place; /* a counter's slot; another leaf's place in a label's configuration, or -1; a text's number */
    int16_t block; /* of a group: the block that its counters are, or -1 */
    uint8_t kind;
    uint8_t required : 1, has_least : 1, has_most : 1;
} Entry;

typedef struct Node {
    Entry *entries;
    int32_t count;
    int32_t first; /* the entry that came first last time */
} Node;

typedef struct {
    int32_t slot;
    int16_t block;
    uint8_t factor;
} Term;

typedef struct {
    Term *terms;
    uint8_t equal;               /* else: left is at most right */
    uint8_t left, right, unless; /* how many terms there are of each; where one of the last is not 0, it is "at least" */
} Row;

typedef struct {
    PyObject_VAR_HEAD
    uint64_t values[];
} Counters;

typedef struct {
    PyObject_HEAD
    Node *root;
    Node *label;
    Py_ssize_t label_counters, label_others;
    Py_ssize_t blocks, slots, loose, groups;
    Py_ssize_t *sizes;
    Row *rows;
    Py_ssize_t row_count;
    PyObject *unset;
    PyObject *young, *old; /* the parts of each connection's last reading, by its id */
    Py_ssize_t since_turn;
    uint64_t objects; /* objects begun so far: names the one that is being read */
    /* of the reading that is being read */
    uint64_t *values, *label_values;
    char *there; /* by block */
    PyObject *texts[TEXTS];
    PyObject *level;
    PyObject **raws;
    PyObject *labels, *configuration;
    PyObject *label_leaves; /* while a label is read: its other leaves */
    Py_ssize_t *absent;
    Py_ssize_t absent_count;
    const char *labels_at; /* where the labels stand: they are read last, once the connection is known */
    int depth;
    int refusal;
} Scanner;

/* -- text ---------------------------------------------------------------------------------------------------------- */

static inline const char *
blank(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        p++;
    }
    return p; /* bytes objects end with a NUL that is not counted, so this stops */
}

/* The end of a string's content, which begins at p; NULL unless it is plain. Sets *ascii. */
static inline const char *
string_end(const char *p, const char *end, int *ascii)
{
    unsigned char any = 0;
    for (; p < end; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte == '"') {
            *ascii = any < 0x80;
            return p;
        }
        if (byte < 0x20 || byte == '\\') {
            return NULL;
        }
        any |= byte;
    }
    return NULL;
}

/* An unsigned integer of up to 64 bits; NULL where it is none, or has a leading zero. */
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
        return (unsigned)(unsigned char)*p - '0' > 9 ? p : NULL;
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
    return p; /* a fraction or an exponent is met by whoever wants a comma or a bracket next */
}

/* Two digits as a number below `limit`; -1 where they are none. */
static inline int
two_digits(const char *p, int limit)
{
    unsigned tens = (unsigned)(unsigned char)p[0] - '0', ones = (unsigned)(unsigned char)p[1] - '0';
    int value = (int)(tens * 10 + ones);
    return tens > 9 || ones > 9 || value >= limit ? -1 : value;
}

/* Nanoseconds since 1970 of YYYY-MM-DDTHH:MM:SS.ffffffZ after 1970; -1 for whatever else it is. */
static int64_t
stamp_of(const char *p, Py_ssize_t length)
{
    static const char form[] = "0000-00-00T00:00:00.000000Z";
    static const int days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    if (length != 27) {
        return -1;
    }
    for (int at = 0; at < 27; at++) {
        if (form[at] == '0' ? (unsigned)(unsigned char)p[at] - '0' > 9 : p[at] != form[at]) {
            return -1;
        }
    }
    int year = two_digits(p, 100) * 100 + two_digits(p + 2, 100);
    int month = two_digits(p + 5, 13), day = two_digits(p + 8, 32);
    int hour = two_digits(p + 11, 24), minute = two_digits(p + 14, 60), second = two_digits(p + 17, 60);
    if (year < 1970 || year > 2200 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0) {
        return -1;
    }
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > days_before[month] - days_before[month - 1] + (leap && month == 2)) {
        return -1;
    }
    int before = year - 1;
    int64_t days = (int64_t)before * 365 + before / 4 - before / 100 + before / 400 - 719162;
    days += days_before[month - 1] + (leap && month > 2) + day - 1;
    int64_t fraction = 0;
    for (int at = 20; at < 26; at++) {
        fraction = fraction * 10 + (p[at] - '0');
    }
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000000 + fraction * 1000;
}

static PyObject *
string_of(const char *p, Py_ssize_t length)
{
    PyObject *text = PyUnicode_DecodeUTF8(p, length, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear(); /* refused, like whatever else is odd */
    }
    return text;
}

/* Behind any value without escapes; `strict`: nor bytes beyond ASCII. Containers are matched by their brackets alone. */
static const char *
skip(const char *p, const char *end, int strict)
{
    int depth = 0, ascii;
    char open[MAX_SKIPPED];
    do {
        p = blank(p);
        if (p >= end) {
            return NULL;
        }
        switch (*p) {
        case '{':
        case '[':
            if (depth == MAX_SKIPPED) {
                return NULL;
            }
            open[depth++] = *p++;
            break;
        case '}':
        case ']':
            if (depth == 0 || open[depth - 1] != (*p == '}' ? '{' : '[')) {
                return NULL;
            }
            depth--;
            p++;
            break;
        case ',':
        case ':':
            if (depth == 0) {
                return NULL;
            }
            p++;
            break;
        case '"':
            p = string_end(p + 1, end, &ascii);
            if (p == NULL || (strict && !ascii)) {
                return NULL;
            }
            p++;
            break;
        case 't':
        case 'n':
            if (end - p < 4 || memcmp(p, *p == 't' ? "true" : "null", 4) != 0) {
                return NULL;
            }
            p += 4;
            break;
        case 'f':
            if (end - p < 5 || memcmp(p, "false", 5) != 0) {
                return NULL;
            }
            p += 5;
            break;
        default: { /* a number, by the letter of the grammar */
            uint64_t value;
            if (*p == '-') {
                p++;
            }
            const char *from = p;
            p = read_unsigned(p, &value);
            if (p == NULL) { /* of many digits */
                p = from;
                if (*p < '1' || *p > '9') {
                    return NULL;
                }
                while (*p >= '0' && *p <= '9') {
                    p++;
                }
            }
            if (*p == '.') {
                p++;
                if (*p < '0' || *p > '9') {
                    return NULL;
                }
                while (*p >= '0' && *p <= '9') {
                    p++;
                }
            }
            if (*p == 'e' || *p == 'E') {
                p++;
                if (*p == '+' || *p == '-') {
                    p++;
                }
                if (*p < '0' || *p > '9') {
                    return NULL;
                }
                while (*p >= '0' && *p <= '9') {
                    p++;
                }
            }
        }
        }
    } while (depth > 0);
    return p;
}

/* -- objects ------------------------------------------------------------------------------------------------------- */

static Entry *
find(Node *node, const char *p, const char *end)
{
    for (Py_ssize_t at = 0; at < node->count; at++) {
        Entry *entry = &node->entries[at];
        if (end - p >= entry->length && memcmp(p, entry->quoted, (size_t)entry->length) == 0) {
            return entry;
        }
    }
    return NULL;
}

static const char *read_object(Scanner *self, Node *node, const char *p, const char *end);
static const char *read_labels(Scanner *self, const char *p, const char *end);

/* The string that stands there, as an object: the earlier one where it is the same. NULL: refused, or an error is set. */
static PyObject *
text_of(const char *p, Py_ssize_t length, int ascii, PyObject *earlier)
{
    if (earlier != NULL && PyUnicode_Check(earlier)) {
        Py_ssize_t size;
        const char *known = PyUnicode_AsUTF8AndSize(earlier, &size);
        if (known == NULL) {
            PyErr_Clear();
        }
        else if (size == length && memcmp(known, p, (size_t)length) == 0) {
            return Py_NewRef(earlier);
        }
    }
    return ascii ? PyUnicode_FromStringAndSize(p, length) : string_of(p, length);
}

/* What a label had at this place in the reading before, borrowed. */
static PyObject *
earlier_leaf(PyObject *earlier, Py_ssize_t place)
{
    return earlier != NULL && place >= 0 && place < PyTuple_GET_SIZE(earlier) ? PyTuple_GET_ITEM(earlier, place) : NULL;
}

/* One leaf, group or loose value; p stands at its first byte. NULL: refused, or an error is set. */
static const char *
read_value(Scanner *self, Entry *entry, const char *p, const char *end, uint64_t *values, PyObject *earlier)
{
    uint64_t number;
    int ascii;
    const char *from = p;
    switch (entry->kind) {
    case COUNTER:
        p = read_unsigned(p, &number);
        if (p == NULL || (entry->has_least && number < (uint64_t)entry->least) ||
            (entry->has_most && number > (uint64_t)entry->most)) {
            return NULL;
        }
        values[entry->place] = number;
        return p;
    case LEVEL:
    case INTEGER: {
        int negative = *p == '-';
        p = read_unsigned(p + negative, &number);
        if (p == NULL || number > INT64_MAX || (negative && number == 0)) {
            return NULL;
        }
        int64_t value = negative ? -(int64_t)number : (int64_t)number;
        if ((entry->has_least && value < entry->least) || (entry->has_most && value > entry->most)) {
            return NULL;
        }
        if (entry->kind == LEVEL) {
            self->level = PyLong_FromLongLong(value);
            return self->level == NULL ? NULL : p;
        }
        if (entry->place >= 0 && self->label_leaves != NULL) {
            PyObject *leaf = PyLong_FromLongLong(value);
            if (leaf == NULL) {
                return NULL;
            }
            PyTuple_SET_ITEM(self->label_leaves, entry->place, leaf);
        }
        return p;
    }
    case BOOLEAN: {
        int truth = *p == 't';
        Py_ssize_t length = truth ? 4 : 5;
        if (end - p < length || memcmp(p, truth ? "true" : "false", (size_t)length) != 0) {
            return NULL;
        }
        if (entry->place >= 0 && self->label_leaves != NULL) {
            PyTuple_SET_ITEM(self->label_leaves, entry->place, Py_NewRef(truth ? Py_True : Py_False));
        }
        return p + length;
    }
    case STRING:
    case CHOICE:
    case TEXT: {
        if (*p++ != '"') {
            return NULL;
        }
        from = p;
        p = string_end(p, end, &ascii);
        if (p == NULL) {
            return NULL;
        }
        Py_ssize_t length = p - from;
        p++;
        if (entry->kind == CHOICE) {
            for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(entry->choices); at++) {
                PyObject *choice = PyTuple_GET_ITEM(entry->choices, at);
                Py_ssize_t size;
                const char *word = PyUnicode_AsUTF8AndSize(choice, &size);
                if (word == NULL) {
                    return NULL;
                }
                if (size == length && memcmp(word, from, (size_t)length) == 0) {
                    if (entry->place >= 0 && self->label_leaves != NULL) {
                        PyTuple_SET_ITEM(self->label_leaves, entry->place, Py_NewRef(choice));
                    }
                    return p;
                }
            }
            return NULL;
        }
        if (entry->kind == TEXT) {
            self->texts[entry->place] = text_of(from, length, ascii, NULL);
            return self->texts[entry->place] == NULL ? NULL : p;
        }
        if (entry->place >= 0 && self->label_leaves != NULL) {
            PyObject *leaf = text_of(from, length, ascii, earlier_leaf(earlier, entry->place));
            if (leaf == NULL) {
                return NULL;
            }
            PyTuple_SET_ITEM(self->label_leaves, entry->place, leaf);
            return p;
        }
        if (!ascii) {
            PyObject *text = string_of(from, length); /* to see whether it is UTF-8 */
            if (text == NULL) {
                return NULL;
            }
            Py_DECREF(text);
        }
        return p;
    }
    case GROUP:
        if (entry->block >= 0) {
            self->there[entry->block] = 1;
        }
        return read_object(self, entry->below, p, end);
    case LABELS:
        if (self->texts[TEXTS - 1] == NULL) {
            self->labels_at = p; /* whose labels these are is still to come */
            return skip(p, end, 0);
        }
        return read_labels(self, p, end);
    case LOOSE:
        p = skip(p, end, 1);
        if (p == NULL) {
            return NULL;
        }
        self->raws[entry->place] = PyBytes_FromStringAndSize(from, p - from);
        return self->raws[entry->place] == NULL ? NULL : p;
    default:
        return NULL;
    }
}

/* What an object's end says of keys that were not in it; -1: refused. */
static int
settle(Scanner *self, Node *node, uint64_t number)
{
    for (Py_ssize_t at = 0; at < node->count; at++) {
        Entry *entry = &node->entries[at];
        if (entry->seen_in == number) {
            continue;
        }
        if (entry->required) {
            return -1;
        }
        if (entry->kind == GROUP) {
            self->absent[self->absent_count++] = entry->place;
        }
        else if (entry->kind == LOOSE) {
            self->raws[entry->place] = PyBytes_FromStringAndSize(NULL, 0);
            if (self->raws[entry->place] == NULL) {
                return -1;
            }
        }
    }
    return 0;
}

static const char *
read_members(Scanner *self, Node *node, const char *p, const char *end, uint64_t *values, PyObject *earlier)
{
    if (*p != '{') {
        return NULL;
    }
    uint64_t number = ++self->objects;
    Py_ssize_t seen = 0;
    int32_t *expected = &node->first;
    p = blank(p + 1);
    if (*p == '}') {
        return settle(self, node, number) < 0 ? NULL : p + 1;
    }
    for (;;) {
        Entry *entry = *expected < node->count ? &node->entries[*expected] : NULL;
        if (entry == NULL || end - p < entry->length || memcmp(p, entry->quoted, (size_t)entry->length) != 0) {
            entry = find(node, p, end);
            if (entry == NULL) {
                return NULL;
            }
            *expected = (int32_t)(entry - node->entries);
        }
        if (entry->seen_in == number) {
            self->refusal = REPEATED;
            return NULL;
        }
        entry->seen_in = number;
        seen++;
        expected = &entry->next;
        p += entry->length;
        if (*p != ':') {
            p = blank(p);
            if (*p != ':') {
                return NULL;
            }
        }
        p = read_value(self, entry, blank(p + 1), end, values, earlier);
        if (p == NULL) {
            return NULL;
        }
        p = blank(p);
        if (*p == ',') {
            p = blank(p + 1);
            continue;
        }
        if (*p != '}') {
            return NULL;
        }
        if (seen < node->count && settle(self, node, number) < 0) {
            return NULL;
        }
        return p + 1;
    }
}

static const char *
read_object(Scanner *self, Node *node, const char *p, const char *end)
{
    if (self->depth >= MAX_DEPTH) {
        return NULL;
    }
    self->depth++;
    p = read_members(self, node, p, end, self->values, NULL);
    self->depth--;
    return p;
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

static PyObject *
counters_repr(PyObject *object)
{
    PyObject *tuple = PySequence_Tuple(object);
    PyObject *text = tuple == NULL ? NULL : PyObject_Repr(tuple);
    Py_XDECREF(tuple);
    return text;
}

/* Equal to the same numbers, in another object of the type or in a tuple. */
static PyObject *
counters_compare(PyObject *one, PyObject *two, int operator)
{
    if (operator != Py_EQ && operator != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int same;
    if (Py_IS_TYPE(two, Py_TYPE(one))) {
        size_t bytes = (size_t)Py_SIZE(one) * sizeof(uint64_t);
        same = Py_SIZE(one) == Py_SIZE(two) && memcmp(((Counters *)one)->values, ((Counters *)two)->values, bytes) == 0;
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

static PyObject *
counters_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *given;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Counters() takes a sequence of integers");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "O:Counters", &given)) {
        return NULL;
    }
    PyObject *integers = PySequence_Tuple(given);
    Counters *made = integers == NULL ? NULL : PyObject_NewVar(Counters, type, PyTuple_GET_SIZE(integers));
    for (Py_ssize_t at = 0; made != NULL && at < PyTuple_GET_SIZE(integers); at++) {
        made->values[at] = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(integers, at));
        if (made->values[at] == (uint64_t)-1 && PyErr_Occurred()) {
            Py_CLEAR(made);
        }
    }
    Py_XDECREF(integers);
    return (PyObject *)made;
}

static PySequenceMethods counters_as_sequence = {
    .sq_length = counters_length,
    .sq_item = counters_item,
};

static PyTypeObject counters_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sora_stats_harness.api._accelerator.Counters",
    .tp_doc = "The counters of a block: a tuple of integers to whoever looks, and an array.",
    .tp_basicsize = sizeof(Counters),
    .tp_itemsize = sizeof(uint64_t),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = counters_new,
    .tp_as_sequence = &counters_as_sequence,
    .tp_repr = counters_repr,
    .tp_richcompare = counters_compare,
    .tp_hash = PyObject_HashNotImplemented,
};

#define IS_COUNTERS(object) Py_IS_TYPE(object, &counters_type)

/* The counters as an object: the earlier one where they are all the same. */
static PyObject *
counters_of(const uint64_t *values, Py_ssize_t count, PyObject *earlier)
{
    size_t bytes = (size_t)count * sizeof(uint64_t);
    if (earlier != NULL && IS_COUNTERS(earlier) && Py_SIZE(earlier) == count &&
        memcmp(((Counters *)earlier)->values, values, bytes) == 0) {
        return Py_NewRef(earlier);
    }
    Counters *counters = PyObject_NewVar(Counters, &counters_type, count);
    if (counters != NULL) {
        memcpy(counters->values, values, bytes);
    }
    return (PyObject *)counters;
}

/* -- labels -------------------------------------------------------------------------------------------------------- */

/* What is kept of this connection's reading before, borrowed; NULL where there is none, or an error is set. */
static PyObject *
recall(Scanner *self)
{
    PyObject *id = self->texts[TEXTS - 1];
    PyObject *parts = id == NULL ? NULL : PyDict_GetItemWithError(self->young, id);
    if (id != NULL && parts == NULL && !PyErr_Occurred()) {
        parts = PyDict_GetItemWithError(self->old, id);
    }
    return parts;
}

/* One label's object. NULL: refused, or an error is set. */
static const char *
read_label(Scanner *self, PyObject *label, const char *p, const char *end, PyObject *counters_before, PyObject *leaves_before)
{
    PyObject *leaves = PyTuple_New(self->label_others);
    if (leaves == NULL) {
        return NULL;
    }
    PyObject *before = leaves_before != NULL && PyTuple_CheckExact(leaves_before) ? leaves_before : NULL;
    self->label_leaves = leaves;
    p = read_members(self, self->label, p, end, self->label_values, before);
    self->label_leaves = NULL;
    if (p == NULL) {
        Py_DECREF(leaves);
        return NULL;
    }
    int same = before != NULL && PyTuple_GET_SIZE(before) == self->label_others;
    for (Py_ssize_t place = 0; place < self->label_others; place++) {
        if (PyTuple_GET_ITEM(leaves, place) == NULL) {
            PyTuple_SET_ITEM(leaves, place, Py_NewRef(self->unset));
        }
        if (same && PyTuple_GET_ITEM(leaves, place) != PyTuple_GET_ITEM(before, place)) {
            same = 0;
        }
    }
    if (same) {
        Py_SETREF(leaves, Py_NewRef(before));
    }
    PyObject *counters = counters_of(self->label_values, self->label_counters, counters_before);
    if (counters == NULL || PyDict_SetItem(self->labels, label, counters) < 0 ||
        PyDict_SetItem(self->configuration, label, leaves) < 0) {
        p = NULL;
    }
    Py_XDECREF(counters);
    Py_DECREF(leaves);
    return p;
}

static const char *
read_labels(Scanner *self, const char *p, const char *end)
{
    if (*p != '{') {
        return NULL;
    }
    PyObject *earlier = recall(self);
    PyObject *counters_before = earlier == NULL ? NULL : PyTuple_GET_ITEM(earlier, 1);
    PyObject *leaves_before = earlier == NULL ? NULL : PyTuple_GET_ITEM(earlier, 2);
    if (PyErr_Occurred()) {
        return NULL;
    }
    p = blank(p + 1);
    if (*p == '}') {
        return p + 1;
    }
    Py_ssize_t place = 0;
    for (;;) {
        int ascii;
        if (*p++ != '"') {
            return NULL;
        }
        const char *from = p;
        p = string_end(p, end, &ascii);
        if (p == NULL) {
            return NULL;
        }
        PyObject *expected, *counters = NULL; /* the label that stood there before: its hash is known */
        if (counters_before == NULL || !PyDict_Next(counters_before, &place, &expected, &counters)) {
            expected = NULL;
        }
        PyObject *label = text_of(from, p - from, ascii, expected);
        if (label == NULL) {
            return NULL;
        }
        int known = PyDict_Contains(self->labels, label);
        if (known != 0) {
            self->refusal = REPEATED;
            Py_DECREF(label);
            return NULL;
        }
        p = blank(p + 1);
        if (*p == ':') {
            if (label != expected) {
                counters = counters_before == NULL ? NULL : PyDict_GetItemWithError(counters_before, label);
            }
            PyObject *leaves = leaves_before == NULL ? NULL : PyDict_GetItemWithError(leaves_before, label);
            p = PyErr_Occurred() ? NULL : read_label(self, label, blank(p + 1), end, counters, leaves);
        }
        else {
            p = NULL;
        }
        Py_DECREF(label);
        if (p == NULL) {
            return NULL;
        }
        p = blank(p);
        if (*p == ',') {
            p = blank(p + 1);
            continue;
        }
        return *p == '}' ? p + 1 : NULL;
    }
}

/* -- connections --------------------------------------------------------------------------------------------------- */

/* The sum of some of a row's terms, in two parts that cannot overflow: units, and units of 2^32. */
typedef struct {
    uint64_t high, low;
} Sum;

static inline Sum
sum_of(const Scanner *self, const Row *row, Py_ssize_t from, Py_ssize_t to)
{
    Sum sum = {0, 0};
    for (Py_ssize_t term = from; term < to; term++) {
        uint64_t value = self->values[row->terms[term].slot], factor = row->terms[term].factor;
        sum.low += factor * (value & UINT32_MAX);
        sum.high += factor * (value >> 32);
    }
    sum.high += sum.low >> 32;
    sum.low &= UINT32_MAX;
    return sum;
}

static inline int
is_there(const Scanner *self, const Row *row, Py_ssize_t from, Py_ssize_t to)
{
    for (Py_ssize_t term = from; term < to; term++) {
        if (!self->there[row->terms[term].block]) {
            return 0;
        }
    }
    return 1;
}

/* Whether a relation means just what it says, rather than "at least". */
static inline int
is_exact(const Scanner *self, const Row *row, Py_ssize_t from)
{
    for (Py_ssize_t term = from; term < from + row->unless; term++) {
        if (!self->there[row->terms[term].block] || self->values[row->terms[term].slot] != 0) {
            return 0;
        }
    }
    return 1;
}

/* Whether every relation holds whose groups are all there. */
static PyObject *
related(const Scanner *self)
{
    for (Py_ssize_t at = 0; at < self->row_count; at++) {
        const Row *row = &self->rows[at];
        Py_ssize_t sides = row->left + row->right;
        Sum left = sum_of(self, row, 0, row->left), right = sum_of(self, row, row->left, sides);
        if (left.high == right.high && left.low == right.low) {
            continue;
        }
        int less = left.high < right.high || (left.high == right.high && left.low < right.low);
        if ((row->equal ? less || is_exact(self, row, sides) : !less) && is_there(self, row, 0, sides)) {
            return Py_False;
        }
    }
    return Py_True;
}

static void
forget_reading(Scanner *self)
{
    for (int at = 0; at < TEXTS; at++) {
        Py_CLEAR(self->texts[at]);
    }
    Py_CLEAR(self->level);
    Py_CLEAR(self->labels);
    Py_CLEAR(self->configuration);
    for (Py_ssize_t at = 0; at < self->loose; at++) {
        Py_CLEAR(self->raws[at]);
    }
}

/*
 * Connections that have gone are let go two turns later. A turn is long enough for everybody to be seen again, and ends
 * where there are very many.
 */
static int
keep(Scanner *self, PyObject *id, PyObject *blocks)
{
    Py_ssize_t size = PyDict_GET_SIZE(self->young);
    if (++self->since_turn > 4096 + 4 * size || size >= MOST_KEPT) {
        PyObject *fresh = PyDict_New();
        if (fresh == NULL) {
            return -1;
        }
        Py_SETREF(self->old, self->young);
        self->young = fresh;
        self->since_turn = 0;
    }
    PyObject *parts = PyTuple_Pack(3, blocks, self->labels, self->configuration);
    if (parts == NULL) {
        return -1;
    }
    int failed = PyDict_SetItem(self->young, id, parts);
    Py_DECREF(parts);
    return failed;
}

static PyObject *
numbers_of(const Py_ssize_t *numbers, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t at = 0; tuple != NULL && at < count; at++) {
        PyObject *number = PyLong_FromSsize_t(numbers[at]);
        if (number == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, at, number);
    }
    return tuple;
}

/* The blocks as a list, with those of the reading before where they are the same. */
static PyObject *
blocks_of(Scanner *self, PyObject *earlier)
{
    PyObject *blocks = PyList_New(self->blocks);
    const uint64_t *values = self->values;
    for (Py_ssize_t at = 0; blocks != NULL && at < self->blocks; at++) {
        PyObject *block;
        if (self->there[at]) {
            PyObject *known = earlier == NULL ? NULL : PyTuple_GET_ITEM(earlier, at);
            block = counters_of(values, self->sizes[at], known);
            if (block == NULL) {
                Py_CLEAR(blocks);
                break;
            }
        }
        else {
            block = Py_NewRef(Py_None);
        }
        PyList_SET_ITEM(blocks, at, block);
        values += self->sizes[at];
    }
    return blocks;
}

/* Whether two dictionaries have the same objects in the same order. */
static int
same_items(PyObject *one, PyObject *two)
{
    Py_ssize_t mine = 0, theirs = 0;
    PyObject *key, *value, *other_key, *other;
    if (PyDict_GET_SIZE(one) != PyDict_GET_SIZE(two)) {
        return 0;
    }
    while (PyDict_Next(one, &mine, &key, &value)) {
        if (!PyDict_Next(two, &theirs, &other_key, &other) || key != other_key || value != other) {
            return 0;
        }
    }
    return 1;
}

/* One connection, as the tuple that accelerator.py describes. NULL: refused, or an error is set. */
static PyObject *
read_connection(Scanner *self, const char **at, const char *end)
{
    PyObject *result = NULL, *blocks = NULL, *absent = NULL, *raws = NULL, *stamp = NULL;
    self->absent_count = 0;
    self->labels_at = NULL;
    self->depth = 0;
    memset(self->there, 0, (size_t)self->blocks);
    self->labels = PyDict_New();
    self->configuration = PyDict_New();
    if (self->labels == NULL || self->configuration == NULL) {
        goto done;
    }
    const char *p = read_object(self, self->root, *at, end);
    if (p == NULL) {
        goto done;
    }
    *at = p;
    if (self->labels_at != NULL && read_labels(self, self->labels_at, end) == NULL) {
        goto done;
    }
    PyObject *earlier = recall(self);
    if (PyErr_Occurred()) {
        goto done;
    }
    if (earlier != NULL && same_items(self->configuration, PyTuple_GET_ITEM(earlier, 2))) {
        Py_SETREF(self->configuration, Py_NewRef(PyTuple_GET_ITEM(earlier, 2)));
    }
    blocks = blocks_of(self, earlier == NULL ? NULL : PyTuple_GET_ITEM(earlier, 0));
    if (blocks == NULL) {
        goto done;
    }
    PyObject *id = self->texts[TEXTS - 1];
    if (id != NULL) {
        PyObject *fixed = PyList_AsTuple(blocks); /* the list goes to a caller who may change it */
        int failed = fixed == NULL || keep(self, id, fixed) < 0;
        Py_XDECREF(fixed);
        if (failed) {
            goto done;
        }
    }
    int brief = self->texts[0] != NULL && id != NULL;
    for (int text = 1; text < TEXTS; text++) {
        brief = brief && self->texts[text] != NULL && PyUnicode_GET_LENGTH(self->texts[text]) <= SHORT_BYTES;
    }
    int64_t stamp_ns = -1;
    if (self->texts[0] != NULL) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(self->texts[0], &length);
        if (text == NULL) {
            goto done;
        }
        stamp_ns = stamp_of(text, length);
    }
    stamp = stamp_ns < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(stamp_ns);
    absent = self->absent_count == 0 ? Py_NewRef(Py_None) : numbers_of(self->absent, self->absent_count);
    if (self->loose == 0) {
        raws = Py_NewRef(Py_None);
    }
    else if ((raws = PyTuple_New(self->loose)) != NULL) {
        for (Py_ssize_t place = 0; place < self->loose; place++) {
            PyObject *raw = self->raws[place];
            PyTuple_SET_ITEM(raws, place, Py_NewRef(raw == NULL ? Py_None : raw));
        }
    }
    if (stamp == NULL || absent == NULL || raws == NULL) {
        goto done;
    }
#define OR_NONE(object) ((object) == NULL ? Py_None : (object))
    result = PyTuple_Pack(
        14, OR_NONE(self->texts[0]), OR_NONE(self->texts[1]), OR_NONE(self->texts[2]), OR_NONE(self->texts[3]),
        OR_NONE(id), stamp, brief ? Py_True : Py_False, OR_NONE(self->level), blocks, self->labels,
        self->configuration, related(self), absent, raws
    );
#undef OR_NONE
done:
    Py_XDECREF(blocks);
    Py_XDECREF(absent);
    Py_XDECREF(raws);
    Py_XDECREF(stamp);
    forget_reading(self);
    return result;
}

PyDoc_STRVAR(read_doc,
"read(body, many)\n--\n\n"
"A body's connections as a list of tuples; 0 where it is refused, 1 where that is for a repeated key.");

static PyObject *
scanner_read(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Scanner *self = (Scanner *)object;
    if (count != 2 || !PyBytes_CheckExact(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "read() takes bytes, and whether they should be an array");
        return NULL;
    }
    int many = PyObject_IsTrue(arguments[1]);
    if (many < 0) {
        return NULL;
    }
    const char *p = PyBytes_AS_STRING(arguments[0]);
    const char *end = p + PyBytes_GET_SIZE(arguments[0]);
    PyObject *found = PyList_New(0);
    if (found == NULL) {
        return NULL;
    }
    self->refusal = ODD;
    p = blank(p);
    int more = 1;
    if (many) {
        if (*p != '[') {
            goto refused;
        }
        p = blank(p + 1);
        more = *p != ']';
    }
    while (more) {
        PyObject *connection = read_connection(self, &p, end);
        if (connection == NULL) {
            goto refused;
        }
        int failed = PyList_Append(found, connection);
        Py_DECREF(connection);
        if (failed) {
            goto refused;
        }
        p = blank(p);
        more = many && *p == ',';
        if (more) {
            p = blank(p + 1);
        }
    }
    if (many && *p++ != ']') {
        goto refused;
    }
    if (blank(p) != end) {
        goto refused;
    }
    return found;
refused:
    Py_DECREF(found);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(self->refusal);
}

/* -- making a scanner ---------------------------------------------------------------------------------------------- */

static void
free_node(Node *node)
{
    if (node == NULL) {
        return;
    }
    for (Py_ssize_t at = 0; node->entries != NULL && at < node->count; at++) {
        Entry *entry = &node->entries[at];
        PyMem_Free(entry->quoted);
        Py_XDECREF(entry->choices);
        free_node(entry->below);
    }
    PyMem_Free(node->entries);
    PyMem_Free(node);
}

static int
limit_of(PyObject *object, int64_t *limit)
{
    if (object == Py_None) {
        return 0;
    }
    *limit = PyLong_AsLongLong(object);
    return *limit == -1 && PyErr_Occurred() ? -1 : 1;
}

/* From (key, kind, required, place, least, most, choices, below, block) for each entry. */
static Node *
node_of(PyObject *described, int depth, Py_ssize_t slots, Py_ssize_t places, Scanner *self)
{
    if (!PyTuple_CheckExact(described) || depth > MAX_DEPTH) {
        PyErr_SetString(PyExc_ValueError, "a node is a tuple of entries, at most 16 deep");
        return NULL;
    }
    Node *node = PyMem_Calloc(1, sizeof(Node));
    Py_ssize_t count = PyTuple_GET_SIZE(described);
    if (node == NULL || (node->entries = PyMem_Calloc((size_t)(count ? count : 1), sizeof(Entry))) == NULL) {
        PyMem_Free(node);
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        Entry *entry = &node->entries[at];
        node->count = (int32_t)at + 1; /* so that a failure frees what there is */
        const char *key;
        int kind, required;
        Py_ssize_t length, place, block;
        PyObject *least, *most, *choices, *below;
        PyObject *item = PyTuple_GET_ITEM(described, at);
        if (!PyTuple_CheckExact(item) ||
            !PyArg_ParseTuple(
                item, "y#ipnOOOOn", &key, &length, &kind, &required, &place, &least, &most, &choices, &below, &block
            )) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "an entry is a tuple");
            }
            goto failed;
        }
        if (kind < COUNTER || kind >= KINDS || length > MAX_KEYS || place < -1 || place > MAX_KEYS || block < -1 ||
            block >= MAX_BLOCKS) {
            PyErr_SetString(PyExc_ValueError, "a key, a place or a block that cannot be");
            goto failed;
        }
        entry->kind = (uint8_t)kind;
        entry->required = required != 0;
        entry->place = (int32_t)place;
        entry->block = (int16_t)block;
        entry->next = (int32_t)at + 1;
        entry->length = (int32_t)length + 2;
        entry->quoted = PyMem_Malloc((size_t)length + 2);
        if (entry->quoted == NULL) {
            PyErr_NoMemory();
            goto failed;
        }
        entry->quoted[0] = entry->quoted[length + 1] = '"';
        memcpy(entry->quoted + 1, key, (size_t)length);
        int has_least = limit_of(least, &entry->least), has_most = limit_of(most, &entry->most);
        if (has_least < 0 || has_most < 0) {
            goto failed;
        }
        entry->has_least = has_least != 0;
        entry->has_most = has_most != 0;
        int sound = 1;
        switch (entry->kind) {
        case COUNTER:
            sound = entry->place >= 0 && entry->place < slots && entry->required &&
                    (!entry->has_least || entry->least >= 0) && (!entry->has_most || entry->most >= 0);
            break;
        case TEXT:
            sound = self != NULL && entry->place >= 0 && entry->place < TEXTS;
            break;
        case CHOICE:
            sound = PyTuple_CheckExact(choices) && entry->place < places;
            for (Py_ssize_t choice = 0; sound && choice < PyTuple_GET_SIZE(choices); choice++) {
                sound = PyUnicode_Check(PyTuple_GET_ITEM(choices, choice));
            }
            if (sound) {
                entry->choices = Py_NewRef(choices);
            }
            break;
        case GROUP:
            sound = self != NULL && entry->place >= 0 && entry->place < self->groups && entry->block < self->blocks;
            if (sound && (entry->below = node_of(below, depth + 1, slots, places, self)) == NULL) {
                goto failed;
            }
            break;
        case LABELS:
            sound = self != NULL && depth == 0 && self->label != NULL;
            break;
        case LOOSE:
            sound = self != NULL && entry->place >= 0 && entry->place < self->loose;
            break;
        default:
            sound = sound && entry->place < places;
        }
        if (!sound) {
            PyErr_Format(PyExc_ValueError, "entry %zd cannot be read", at);
            goto failed;
        }
    }
    return node;
failed:
    free_node(node);
    return NULL;
}

/* Reads terms to those that a row has. -1: an error is set. */
static int
terms_of(Scanner *self, PyObject *described, Row *row, Py_ssize_t at)
{
    if (!PyTuple_CheckExact(described) || at + PyTuple_GET_SIZE(described) > MAX_TERMS) {
        PyErr_SetString(PyExc_ValueError, "a relation has too many terms");
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(described);
    Term *terms = PyMem_Realloc(row->terms, (size_t)(at + count + 1) * sizeof(Term));
    if (terms == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    row->terms = terms;
    for (Py_ssize_t term = 0; term < count; term++) {
        Py_ssize_t factor, slot;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(described, term), "nn", &factor, &slot)) {
            return -1;
        }
        if (factor < 0 || factor > MAX_FACTOR || slot < 0 || slot >= self->slots) {
            PyErr_SetString(PyExc_ValueError, "a term cannot be added up");
            return -1;
        }
        Py_ssize_t block = 0, from = slot;
        while (from >= self->sizes[block]) {
            from -= self->sizes[block++];
        }
        terms[at + term] = (Term){.slot = (int32_t)slot, .block = (int16_t)block, .factor = (uint8_t)factor};
    }
    return (int)count;
}

static int
scanner_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"root", "label", "label_counters", "label_others", "sizes", "groups", "loose", "rows", "unset", NULL};
    Scanner *self = (Scanner *)object;
    PyObject *root, *label, *sizes, *rows, *unset;
    if (self->root != NULL) {
        PyErr_SetString(PyExc_TypeError, "a scanner is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "OOnnO!nnOO", names, &root, &label, &self->label_counters, &self->label_others,
            &PyTuple_Type, &sizes, &self->groups, &self->loose, &rows, &unset
        )) {
        return -1;
    }
    if (self->label_counters < 0 || self->label_others < 0 || self->groups < 0 || self->loose < 0 ||
        !PyTuple_CheckExact(rows)) {
        PyErr_SetString(PyExc_ValueError, "a count is negative, or the relations are no tuple");
        return -1;
    }
    self->unset = Py_NewRef(unset);
    self->blocks = PyTuple_GET_SIZE(sizes);
    if (self->blocks > MAX_BLOCKS) {
        self->blocks = 0;
        PyErr_SetString(PyExc_ValueError, "there are too many blocks");
        return -1;
    }
    self->young = PyDict_New();
    self->old = PyDict_New();
    self->sizes = PyMem_Calloc((size_t)self->blocks + 1, sizeof(Py_ssize_t));
    self->there = PyMem_Calloc((size_t)self->blocks + 1, 1);
    self->absent = PyMem_Calloc((size_t)self->groups + 1, sizeof(Py_ssize_t));
    self->raws = PyMem_Calloc((size_t)self->loose + 1, sizeof(PyObject *));
    self->label_values = PyMem_Calloc((size_t)self->label_counters + 1, sizeof(uint64_t));
    self->rows = PyMem_Calloc((size_t)PyTuple_GET_SIZE(rows) + 1, sizeof(Row));
    if (!self->young || !self->old || !self->sizes || !self->there || !self->absent || !self->raws ||
        !self->label_values || !self->rows) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t at = 0; at < self->blocks; at++) {
        self->sizes[at] = PyLong_AsSsize_t(PyTuple_GET_ITEM(sizes, at));
        if (self->sizes[at] < 0 || self->sizes[at] > 100000) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_ValueError, "a block has too many counters");
            }
            return -1;
        }
        self->slots += self->sizes[at];
        if (self->slots > MAX_KEYS) {
            PyErr_SetString(PyExc_ValueError, "there are too many counters");
            return -1;
        }
    }
    self->values = PyMem_Calloc((size_t)self->slots + 1, sizeof(uint64_t));
    if (self->values == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (label != Py_None && (self->label = node_of(label, 1, self->label_counters, self->label_others, NULL)) == NULL) {
        return -1;
    }
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(rows); at++) {
        Row *row = &self->rows[at];
        PyObject *sides[3];
        int equal, count[3], sum = 0;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(rows, at), "pOOO", &equal, &sides[0], &sides[1], &sides[2])) {
            return -1;
        }
        self->row_count = at + 1;
        for (int side = 0; side < 3; side++) {
            if ((count[side] = terms_of(self, sides[side], row, sum)) < 0) {
                return -1;
            }
            sum += count[side];
        }
        row->equal = equal != 0;
        row->left = (uint8_t)count[0];
        row->right = (uint8_t)count[1];
        row->unless = (uint8_t)count[2];
    }
    self->root = node_of(root, 0, self->slots, 0, self);
    return self->root == NULL ? -1 : 0;
}

static void
scanner_dealloc(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->raws != NULL) {
        forget_reading(self);
    }
    free_node(self->root);
    free_node(self->label);
    Py_XDECREF(self->unset);
    Py_XDECREF(self->young);
    Py_XDECREF(self->old);
    PyMem_Free(self->sizes);
    PyMem_Free(self->there);
    PyMem_Free(self->absent);
    PyMem_Free(self->raws);
    PyMem_Free(self->label_values);
    PyMem_Free(self->values);
    for (Py_ssize_t at = 0; at < self->row_count; at++) {
        PyMem_Free(self->rows[at].terms);
    }
    PyMem_Free(self->rows);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef scanner_methods[] = {
    {"read", (PyCFunction)(void (*)(void))scanner_read, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scanner_slots[] = {
    {Py_tp_doc, "Reads bodies of one layout; for one thread."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, scanner_init},
    {Py_tp_dealloc, scanner_dealloc},
    {Py_tp_methods, scanner_methods},
    {0, NULL},
};

static PyType_Spec scanner_spec = {
    .name = "sora_stats_harness.api._accelerator.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = scanner_slots,
};

/* -- order --------------------------------------------------------------------------------------------------------- */

/* Compares counters; 1: the later is larger, 0: the same, -1: it is smaller, -2: an error is set. */
static int
rose(PyObject *before, PyObject *after)
{
    int less = PyObject_RichCompareBool(after, before, Py_LT);
    if (less != 0) {
        return less < 0 ? -2 : -1;
    }
    int more = PyObject_RichCompareBool(after, before, Py_GT);
    return more < 0 ? -2 : more;
}

/* The same of two blocks: 1 where one counter at least is larger and none is smaller. */
static int
block_rose(PyObject *before, PyObject *after)
{
    if (IS_COUNTERS(before) && IS_COUNTERS(after)) {
        if (Py_SIZE(before) != Py_SIZE(after)) {
            return -1;
        }
        const uint64_t *old = ((Counters *)before)->values, *new = ((Counters *)after)->values;
        int grew = 0, fell = 0;
        for (Py_ssize_t at = 0; at < Py_SIZE(before); at++) {
            grew |= new[at] > old[at];
            fell |= new[at] < old[at];
        }
        return fell ? -1 : grew;
    }
    if (!(IS_COUNTERS(before) || PyTuple_CheckExact(before)) || !(IS_COUNTERS(after) || PyTuple_CheckExact(after))) {
        return -1; /* it is in one of them only */
    }
    PyObject *olds = PySequence_Tuple(before), *news = PySequence_Tuple(after);
    int grew = olds == NULL || news == NULL ? -2 : PyTuple_GET_SIZE(olds) != PyTuple_GET_SIZE(news) ? -1 : 0;
    for (Py_ssize_t at = 0; grew >= 0 && at < PyTuple_GET_SIZE(olds); at++) {
        PyObject *old = PyTuple_GET_ITEM(olds, at), *new = PyTuple_GET_ITEM(news, at);
        int how = old == new ? 0 : rose(old, new);
        grew = how < 0 ? how : grew | how;
    }
    Py_XDECREF(olds);
    Py_XDECREF(news);
    return grew;
}

PyDoc_STRVAR(rise_doc,
"rise(known, blocks)\n--\n\n"
"The larger of two lists of blocks where the second is nowhere smaller: `known` itself where they are the same, else a\n"
"new list; None where a counter fell, or a block is in one of them only. Blocks of the second that are equal to the\n"
"known ones are replaced by those very objects.");

static PyObject *
rise(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1]) ||
        PyList_GET_SIZE(arguments[0]) != PyList_GET_SIZE(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "rise() takes two lists of the same length");
        return NULL;
    }
    PyObject *known = arguments[0], *blocks = arguments[1], *top = NULL;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(known); at++) {
        PyObject *most = PyList_GET_ITEM(known, at), *mine = PyList_GET_ITEM(blocks, at);
        if (most == mine) {
            continue;
        }
        int how = block_rose(most, mine);
        if (how < 0) {
            Py_XDECREF(top);
            if (how == -2) {
                return NULL;
            }
            Py_RETURN_NONE;
        }
        if (how == 0) {
            if (PyList_SetItem(blocks, at, Py_NewRef(most)) < 0) {
                Py_XDECREF(top);
                return NULL;
            }
            continue;
        }
        if (top == NULL && (top = PyList_GetSlice(known, 0, PyList_GET_SIZE(known))) == NULL) {
            return NULL;
        }
        if (PyList_SetItem(top, at, Py_NewRef(mine)) < 0) {
            Py_DECREF(top);
            return NULL;
        }
    }
    return top != NULL ? top : Py_NewRef(known);
}

PyDoc_STRVAR(highest_doc,
"highest(known, blocks)\n--\n\n"
"The larger of each two counters: `known` itself where it has them all, else a new list. None where a block is in one of\n"
"the lists only, or is a tuple.");

static PyObject *
highest(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1]) ||
        PyList_GET_SIZE(arguments[0]) != PyList_GET_SIZE(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "highest() takes two lists of the same length");
        return NULL;
    }
    PyObject *known = arguments[0], *blocks = arguments[1], *top = Py_NewRef(known);
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(known); at++) {
        PyObject *most = PyList_GET_ITEM(known, at), *mine = PyList_GET_ITEM(blocks, at);
        if (most == mine) {
            continue;
        }
        if (!IS_COUNTERS(most) || !IS_COUNTERS(mine) || Py_SIZE(most) != Py_SIZE(mine)) {
            Py_DECREF(top);
            Py_RETURN_NONE;
        }
        const uint64_t *old = ((Counters *)most)->values, *new = ((Counters *)mine)->values;
        int above = 0, below = 0;
        for (Py_ssize_t place = 0; place < Py_SIZE(most); place++) {
            above |= new[place] > old[place];
            below |= new[place] < old[place];
        }
        if (!above) {
            continue;
        }
        PyObject *larger = Py_NewRef(mine);
        if (below) {
            Py_SETREF(larger, (PyObject *)PyObject_NewVar(Counters, &counters_type, Py_SIZE(most)));
            for (Py_ssize_t place = 0; larger != NULL && place < Py_SIZE(most); place++) {
                ((Counters *)larger)->values[place] = new[place] > old[place] ? new[place] : old[place];
            }
        }
        if (larger != NULL && top == known) {
            Py_SETREF(top, PyList_GetSlice(known, 0, PyList_GET_SIZE(known)));
        }
        if (larger == NULL || top == NULL) {
            Py_XDECREF(larger);
            Py_XDECREF(top);
            return NULL;
        }
        if (PyList_SetItem(top, at, larger) < 0) { /* takes the reference */
            Py_DECREF(top);
            return NULL;
        }
    }
    return top;
}

PyDoc_STRVAR(rise_labels_doc,
"rise_labels(known, labels)\n--\n\n"
"The same for the counters of labels, by label; None also where the labels are not the same, in the same order.");

static PyObject *
rise_labels(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyDict_CheckExact(arguments[0]) || !PyDict_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "rise_labels() takes two dictionaries");
        return NULL;
    }
    PyObject *known = arguments[0], *labels = arguments[1], *top = NULL;
    PyObject *label, *most, *other, *mine;
    Py_ssize_t at = 0, place = 0;
    if (PyDict_GET_SIZE(known) != PyDict_GET_SIZE(labels)) {
        Py_RETURN_NONE;
    }
    while (PyDict_Next(known, &at, &label, &most) && PyDict_Next(labels, &place, &other, &mine)) {
        int same = label == other ? 1 : PyObject_RichCompareBool(label, other, Py_EQ);
        int how = same < 0 ? -2 : !same ? -1 : most == mine ? 0 : block_rose(most, mine);
        if (how == 1 && top == NULL && (top = PyDict_Copy(known)) == NULL) {
            how = -2;
        }
        if (how == 1 && PyDict_SetItem(top, label, mine) < 0) {
            how = -2;
        }
        if (how < 0) {
            Py_XDECREF(top);
            if (how == -2) {
                return NULL;
            }
            Py_RETURN_NONE;
        }
    }
    return top != NULL ? top : Py_NewRef(known);
}

/* Whether two blocks have the same counter at a place; -1: an error is set. */
static int
same_at(PyObject *one, PyObject *two, Py_ssize_t place)
{
    if (IS_COUNTERS(one) && IS_COUNTERS(two)) {
        return ((Counters *)one)->values[place] == ((Counters *)two)->values[place];
    }
    PyObject *first = PySequence_GetItem(one, place), *second = PySequence_GetItem(two, place);
    int same = first == NULL || second == NULL ? -1 : PyObject_RichCompareBool(first, second, Py_EQ);
    Py_XDECREF(first);
    Py_XDECREF(second);
    return same;
}

/* As first_holders, of one block; `steps` are those from which on it was there, and it was not the same each time. */
static PyObject *
holders_of(PyObject *const *steps, const Py_ssize_t *numbers, Py_ssize_t count, PyObject *owners, PyObject *held)
{
    Py_ssize_t size = Py_SIZE(steps[count - 1]);
    PyObject *found = PyList_New(size);
    for (Py_ssize_t place = 0; found != NULL && place < size; place++) {
        Py_ssize_t step = count - 1;
        while (step > 0) {
            int same = same_at(steps[step], steps[step - 1], place);
            if (same < 0) {
                Py_CLEAR(found);
                return NULL;
            }
            if (!same) {
                break;
            }
            step--;
        }
        PyObject *holder = step == 0 && held != NULL ? PyList_GET_ITEM(held, place) : PyList_GET_ITEM(owners, numbers[step]);
        PyList_SET_ITEM(found, place, Py_NewRef(holder));
    }
    return found;
}

PyDoc_STRVAR(first_holders_doc,
"first_holders(steps, owners, held)\n--\n\n"
"Steps are lists of blocks, each nowhere smaller than in the step before; None is a block that is not there. For each\n"
"block of the last step, and each of its counters: the owner of the first step that had the value, of those since which\n"
"the block was always there; where the very first had it, what `held` says of the block, unless that is None. None for a\n"
"block that is not there.");

static PyObject *
first_holders(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *steps = count == 3 ? arguments[0] : NULL, *owners = count == 3 ? arguments[1] : NULL;
    PyObject *held = count == 3 ? arguments[2] : NULL;
    if (count != 3 || !PyList_CheckExact(steps) || !PyList_CheckExact(owners) || !PyList_CheckExact(held) ||
        PyList_GET_SIZE(steps) == 0 || PyList_GET_SIZE(steps) != PyList_GET_SIZE(owners)) {
        PyErr_SetString(PyExc_TypeError, "first_holders() takes three lists, the first two of the same length");
        return NULL;
    }
    Py_ssize_t length = PyList_GET_SIZE(steps), blocks = PyList_GET_SIZE(held);
    for (Py_ssize_t step = 0; step < length; step++) {
        PyObject *list = PyList_GET_ITEM(steps, step);
        if (!PyList_CheckExact(list) || PyList_GET_SIZE(list) != blocks) {
            PyErr_SetString(PyExc_TypeError, "the steps are lists with a block for each entry of the third");
            return NULL;
        }
    }
    PyObject **mine = PyMem_Calloc((size_t)length, sizeof(PyObject *));
    Py_ssize_t *numbers = PyMem_Calloc((size_t)length, sizeof(Py_ssize_t));
    PyObject *found = mine == NULL || numbers == NULL ? PyErr_NoMemory() : PyList_New(blocks);
    for (Py_ssize_t block = 0; found != NULL && block < blocks; block++) {
        PyObject *known = PyList_GET_ITEM(held, block), *before = NULL, *list = Py_None;
        Py_ssize_t different = 0, first = 0;
        for (Py_ssize_t step = 0; step < length; step++) {
            PyObject *each = PyList_GET_ITEM(PyList_GET_ITEM(steps, step), block);
            if (each == Py_None) {
                different = 0;
                first = step + 1;
            }
            else if (different == 0 || each != before) {
                mine[different] = each;
                numbers[different++] = step;
            }
            before = each;
        }
        for (Py_ssize_t each = 0; each < different; each++) {
            if (!(IS_COUNTERS(mine[each]) || PyTuple_CheckExact(mine[each])) || Py_SIZE(mine[each]) != Py_SIZE(mine[0])) {
                PyErr_SetString(PyExc_TypeError, "blocks are tuples of counters, as long in each step");
                Py_CLEAR(found);
            }
        }
        PyObject *usable = known == Py_None || first > 0 ? NULL : known;
        if (found != NULL && usable != NULL && different > 0 &&
            (!PyList_CheckExact(usable) || PyList_GET_SIZE(usable) != Py_SIZE(mine[0]))) {
            PyErr_SetString(PyExc_TypeError, "what is held of a block is a list with a holder for each counter");
            Py_CLEAR(found);
        }
        if (found != NULL) {
            list = different == 0 ? Py_NewRef(Py_None) : holders_of(mine, numbers, different, owners, usable);
            if (list == NULL) {
                Py_CLEAR(found);
            }
            else {
                PyList_SET_ITEM(found, block, list);
            }
        }
    }
    PyMem_Free(mine);
    PyMem_Free(numbers);
    return found;
}

/* -- lines of a recording ------------------------------------------------------------------------------------------ */

/* Appends to a line that is being put together; the caller has made room. */
static inline char *
put_bytes(char *p, PyObject *bytes)
{
    memcpy(p, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    return p + PyBytes_GET_SIZE(bytes);
}

static inline char *
put_text(char *p, const char *text)
{
    size_t length = strlen(text);
    memcpy(p, text, length);
    return p + length;
}

/* An integer of 64 bits, or null where it is None; NULL where it is anything else. */
static char *
put_integer(char *p, PyObject *value)
{
    if (value == Py_None) {
        return put_text(p, "null");
    }
    if (!PyLong_CheckExact(value)) {
        return NULL;
    }
    int beyond;
    long long number = PyLong_AsLongLongAndOverflow(value, &beyond);
    if (beyond) {
        return NULL;
    }
    char digits[MOST_DIGITS], *first = digits + MOST_DIGITS;
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (number < 0) {
        *p++ = '-';
    }
    memcpy(p, first, (size_t)(digits + MOST_DIGITS - first));
    return p + (digits + MOST_DIGITS - first);
}

/* Whether a text of Python's stands in JSON as it is. */
static int
is_bare(PyObject *text)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return 0;
    }
    const unsigned char *p = PyUnicode_1BYTE_DATA(text);
    for (Py_ssize_t at = 0; at < PyUnicode_GET_LENGTH(text); at++) {
        if (p[at] < 0x20 || p[at] == '"' || p[at] == '\\' || p[at] == 0x7f) {
            return 0;
        }
    }
    return 1;
}

PyDoc_STRVAR(line_head_doc,
"line_head(body, seq, asked, clock, intended_ns, sent_ns, received_ns, arrived_ns, sent_at, told)\n--\n\n"
"What stands before the body in an exchange's line of a recording; None where the body is not on one line without white\n"
"space around it, or anything else is out of the ordinary. `asked`, `clock` and `told` are bytes that go in as they are.");

static PyObject *
line_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    enum { BODY, SEQ, ASKED, CLOCK, INTENDED, SENT, RECEIVED, ARRIVED, SENT_AT, TOLD, ARGUMENTS };
    if (count != ARGUMENTS || !PyBytes_CheckExact(arguments[BODY]) || !PyBytes_CheckExact(arguments[ASKED]) ||
        !PyBytes_CheckExact(arguments[CLOCK]) || !PyBytes_CheckExact(arguments[TOLD])) {
        PyErr_SetString(PyExc_TypeError, "line_head() takes ten arguments, of which four are bytes");
        return NULL;
    }
    const unsigned char *body = (const unsigned char *)PyBytes_AS_STRING(arguments[BODY]);
    size_t length = (size_t)PyBytes_GET_SIZE(arguments[BODY]);
    PyObject *sent_at = arguments[SENT_AT];
    if (length == 0 || body[0] <= ' ' || body[length - 1] <= ' ' || memchr(body, '\n', length) != NULL ||
        memchr(body, '\r', length) != NULL || !is_bare(sent_at)) {
        Py_RETURN_NONE;
    }
    PyObject *line = PyBytes_FromStringAndSize(
        NULL, PyBytes_GET_SIZE(arguments[ASKED]) + PyBytes_GET_SIZE(arguments[CLOCK]) +
            PyBytes_GET_SIZE(arguments[TOLD]) + PyUnicode_GET_LENGTH(sent_at) + 5 * (MOST_DIGITS + 1) + WORDS_BYTES
    );
    if (line == NULL) {
        return NULL;
    }
    static const struct {
        const char *key;
        int place;
    } times[] = {{",\"intended_ns\":", INTENDED}, {",\"sent_ns\":", SENT}, {",\"received_ns\":", RECEIVED},
                 {",\"arrived_ns\":", ARRIVED}};
    char *p = put_integer(put_text(PyBytes_AS_STRING(line), "{\"seq\":"), arguments[SEQ]);
    if (p != NULL) {
        *p++ = ',';
        p = put_bytes(put_bytes(p, arguments[ASKED]), arguments[CLOCK]);
    }
    for (int time = 0; p != NULL && time < 4; time++) {
        p = put_integer(put_text(p, times[time].key), arguments[times[time].place]);
    }
    if (p == NULL) {
        Py_DECREF(line);
        Py_RETURN_NONE;
    }
    p = put_text(p, ",\"sent_at\":\"");
    memcpy(p, PyUnicode_1BYTE_DATA(sent_at), (size_t)PyUnicode_GET_LENGTH(sent_at));
    p = put_text(p + PyUnicode_GET_LENGTH(sent_at), "\",");
    p = put_bytes(p, arguments[TOLD]);
    _PyBytes_Resize(&line, p - PyBytes_AS_STRING(line));
    return line;
}

/* -- the module ---------------------------------------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"rise", (PyCFunction)(void (*)(void))rise, METH_FASTCALL, rise_doc},
    {"highest", (PyCFunction)(void (*)(void))highest, METH_FASTCALL, highest_doc},
    {"rise_labels", (PyCFunction)(void (*)(void))rise_labels, METH_FASTCALL, rise_labels_doc},
    {"first_holders", (PyCFunction)(void (*)(void))first_holders, METH_FASTCALL, first_holders_doc},
    {"line_head", (PyCFunction)(void (*)(void))line_head, METH_FASTCALL, line_head_doc},
    {NULL, NULL, 0, NULL},
};

static int
fill(PyObject *module)
{
    if (PyType_Ready(&counters_type) < 0 || PyModule_AddObjectRef(module, "Counters", (PyObject *)&counters_type) < 0) {
        return -1;
    }
    PyObject *type = PyType_FromSpec(&scanner_spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Scanner", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
    static const char *const kinds[] = {
        "COUNTER", "LEVEL", "INTEGER", "BOOLEAN", "STRING", "CHOICE", "TEXT", "GROUP", "LABELS", "LOOSE",
    };
    for (int kind = 0; kind < KINDS; kind++) {
        if (PyModule_AddIntConstant(module, kinds[kind], kind) < 0) {
            return -1;
        }
    }
    return PyModule_AddIntConstant(module, "CONTRACT", CONTRACT);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sora_stats_harness.api._accelerator",
    .m_doc = "Reads bodies in which there is nothing to find; see accelerator.py.",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__accelerator(void)
{
    return PyModuleDef_Init(&module_def);
}
