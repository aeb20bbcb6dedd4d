/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, numbers and types of everything on the wire, in both directions: what tests/golden/wire.tsv lists must exist,
 * and what exists must be listed. A row is KIND and tab-separated columns:
 *
 *   field    MESSAGE  NUMBER  NAME  TYPE      TYPE: [opt |repeated ]T or map<K, V>; T without its own package
 *   message  MESSAGE                          one without fields
 *   enum     ENUM  NAME  NUMBER
 *   rpc      /SERVICE/METHOD  [stream ]REQUEST  [stream ]RESPONSE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "descriptors.inc"
#include "rpc/methods.h"

#define ROWS_MAX 1000
#define ROW_MAX 512

struct table {
    char row[ROWS_MAX][ROW_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3)))
static void table_add(struct table *table, const char *fmt, ...)
{
    va_list args;

    assert_true(table->count < ROWS_MAX);
    va_start(args, fmt);
    assert_true(vsnprintf(table->row[table->count++], ROW_MAX, fmt, args) < ROW_MAX);
    va_end(args);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void table_sort(struct table *table)
{
    qsort(table->row, table->count, ROW_MAX, compare_rows);
    for (size_t i = 1; i < table->count; i++)
        if (!strcmp(table->row[i - 1], table->row[i]))
            fail_msg("twice: %s", table->row[i]);
}

/* Rows of the golden file whose kind is one of @kinds (words between blanks). */
static struct table *golden(const char *kinds)
{
    struct table *table = calloc(1, sizeof(*table));
    const char *top = getenv("JMP_SOURCE_DIR");
    char path[4096], line[ROW_MAX];
    FILE *file;

    assert_non_null(table);
    assert_non_null(top);
    snprintf(path, sizeof(path), "%s/tests/golden/wire.tsv", top);
    file = fopen(path, "re");
    if (!file)
        fail_msg("%s cannot be opened", path);
    while (fgets(line, sizeof(line), file)) {
        char kind[16] = "";
        const char *found;

        line[strcspn(line, "\n")] = '\0';
        assert_int_equal(sscanf(line, "%15s", kind), 1);
        found = strstr(kinds, kind);
        if (found && (found == kinds || found[-1] == ' ') && strchr(" ", found[strlen(kind)]))
            table_add(table, "%s", line);
    }
    fclose(file);
    table_sort(table);
    return table;
}

/* Says every difference before it fails. */
static void assert_same(const struct table *expected, const struct table *actual)
{
    size_t e = 0, a = 0, wrong = 0;

    assert_true(expected->count > 0);
    while (e < expected->count || a < actual->count) {
        int order = e == expected->count ? 1 : a == actual->count ? -1 : strcmp(expected->row[e], actual->row[a]);

        if (order < 0)
            print_error("missing: %s\n", expected->row[e]);
        else if (order > 0)
            print_error("not in wire.tsv: %s\n", actual->row[a]);
        wrong += order != 0;
        e += order <= 0;
        a += order >= 0;
    }
    if (wrong)
        fail_msg("%zu rows differ", wrong);
}

/* A type as a .proto file of @package would spell it. */
static const char *local_name(const char *name, const char *package)
{
    size_t n = strlen(package);

    return !strncmp(name, package, n) && name[n] == '.' && !strchr(name + n + 1, '.') ? name + n + 1 : name;
}

static const char *type_name(const ProtobufCFieldDescriptor *field, const char *package)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32: return "int32";
    case PROTOBUF_C_TYPE_SINT32: return "sint32";
    case PROTOBUF_C_TYPE_SFIXED32: return "sfixed32";
    case PROTOBUF_C_TYPE_INT64: return "int64";
    case PROTOBUF_C_TYPE_SINT64: return "sint64";
    case PROTOBUF_C_TYPE_SFIXED64: return "sfixed64";
    case PROTOBUF_C_TYPE_UINT32: return "uint32";
    case PROTOBUF_C_TYPE_FIXED32: return "fixed32";
    case PROTOBUF_C_TYPE_UINT64: return "uint64";
    case PROTOBUF_C_TYPE_FIXED64: return "fixed64";
    case PROTOBUF_C_TYPE_FLOAT: return "float";
    case PROTOBUF_C_TYPE_DOUBLE: return "double";
    case PROTOBUF_C_TYPE_BOOL: return "bool";
    case PROTOBUF_C_TYPE_STRING: return "string";
    case PROTOBUF_C_TYPE_BYTES: return "bytes";
    case PROTOBUF_C_TYPE_ENUM:
        return local_name(((const ProtobufCEnumDescriptor *)field->descriptor)->name, package);
    case PROTOBUF_C_TYPE_MESSAGE:
        return local_name(((const ProtobufCMessageDescriptor *)field->descriptor)->name, package);
    }
    return "of no known type";
}

/* protobuf-c forgets that a field was a map; its entry is the one message that is nested. */
static const ProtobufCMessageDescriptor *map_entry(const ProtobufCMessageDescriptor *owner,
                                                   const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t n = strlen(owner->name);

    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE ||
        strncmp(entry->name, owner->name, n) || entry->name[n] != '.')
        return NULL;

    assert_int_equal(entry->n_fields, 2);
    assert_string_equal(entry->fields[0].name, "key");
    assert_int_equal(entry->fields[0].id, 1);
    assert_string_equal(entry->fields[1].name, "value");
    assert_int_equal(entry->fields[1].id, 2);
    return entry;
}

/* Alone in its oneof: what "optional" means on the wire. Several members are another thing and have no spelling
 * here. */
static bool alone_in_oneof(const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field)
{
    for (unsigned i = 0; i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &message->fields[i];

        if (other != field && other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
            other->quantifier_offset == field->quantifier_offset)
            return false;
    }
    return true;
}

static void add_field(struct table *table, const ProtobufCMessageDescriptor *message,
                      const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *entry = map_entry(message, field);
    const char *package = message->package_name, *quantity = "";

    if (entry) {
        table_add(table, "field\t%s\t%u\t%s\tmap<%s, %s>", message->name, field->id, field->name,
                  type_name(&entry->fields[0], package), type_name(&entry->fields[1], package));
        return;
    }

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        quantity = "repeated ";
    else if (field->label == PROTOBUF_C_LABEL_REQUIRED)
        quantity = "required ";
    else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        quantity = alone_in_oneof(message, field) ? "opt " : "oneof ";
    table_add(table, "field\t%s\t%u\t%s\t%s%s", message->name, field->id, field->name, quantity,
              type_name(field, package));
}

static bool is_map_entry(const ProtobufCMessageDescriptor *message)
{
    size_t n = strlen(message->package_name);

    return !strncmp(message->name, message->package_name, n) && strchr(message->name + n + 1, '.') != NULL;
}

JMP_TEST(messages_and_enums_are_those_of_the_table)
{
#define ADDRESS(descriptor) &descriptor,
    static const ProtobufCMessageDescriptor *const messages[] = { EVERY_MESSAGE(ADDRESS) };
    static const ProtobufCEnumDescriptor *const enums[] = { EVERY_ENUM(ADDRESS) };
    struct table *expected = golden("field message enum"), *actual = calloc(1, sizeof(*actual));

    assert_non_null(actual);
    for (size_t m = 0; m < sizeof(messages) / sizeof(*messages); m++) {
        const ProtobufCMessageDescriptor *message = messages[m];

        if (is_map_entry(message))
            continue;
        if (message->n_fields == 0)
            table_add(actual, "message\t%s", message->name);
        for (unsigned f = 0; f < message->n_fields; f++)
            add_field(actual, message, &message->fields[f]);
    }
    for (size_t e = 0; e < sizeof(enums) / sizeof(*enums); e++)
        for (unsigned v = 0; v < enums[e]->n_values; v++)
            table_add(actual, "enum\t%s\t%s\t%d", enums[e]->name, enums[e]->values[v].name, enums[e]->values[v].value);

    table_sort(actual);
    assert_same(expected, actual);
    free(actual);
    free(expected);
}

/* The services of proto/; protobuf-c keeps names and types but forgets which side streams. */
JMP_TEST(services_are_those_of_the_table)
{
    static const ProtobufCServiceDescriptor *const services[] = { EVERY_SERVICE(ADDRESS) };
    struct table *expected = golden("rpc"), *actual = calloc(1, sizeof(*actual));

    assert_non_null(actual);
    for (size_t i = 0; i < expected->count; i++)
        for (char *stream; (stream = strstr(expected->row[i], "\tstream ")); )
            memmove(stream + 1, stream + 8, strlen(stream + 8) + 1);
    table_sort(expected);

    for (size_t s = 0; s < sizeof(services) / sizeof(*services); s++)
        for (unsigned m = 0; m < services[s]->n_methods; m++) {
            const ProtobufCMethodDescriptor *method = &services[s]->methods[m];

            table_add(actual, "rpc\t/%s/%s\t%s\t%s", services[s]->name, method->name, method->input->name,
                      method->output->name);
        }

    table_sort(actual);
    assert_same(expected, actual);
    free(actual);
    free(expected);
}

/* What rpc/ calls and serves, with the directions in which messages stream. */
JMP_TEST(methods_of_the_rpc_layer_are_those_of_the_table)
{
    struct table *expected = golden("rpc"), *actual = calloc(1, sizeof(*actual));

    assert_non_null(actual);
#define ADD_METHOD(variable, service, method, request, response, request_stream, response_stream) \
    table_add(actual, "rpc\t/%s/%s\t%s%s\t%s%s", service, method, request_stream ? "stream " : "", \
              request##__descriptor.name, \
              response_stream ? "stream " : "", response##__descriptor.name);
    JMP_METHODS(ADD_METHOD)

    /* The byte streams are raw to the RPC layer: rpc/frame.c knows their two messages. */
    table_add(actual, "rpc\t/jumpstarter.v1.RouterService/Stream\tstream %s\tstream %s",
              jumpstarter__v1__stream_request__descriptor.name, jumpstarter__v1__stream_response__descriptor.name);

    table_sort(actual);
    assert_same(expected, actual);
    free(actual);
    free(expected);
}
