/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/token.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static const char exporter[] =
    "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata: {name: bench, namespace: lab}\n"
    "endpoint: \"lab:8082\"\nexport: {}\n";

/* As an editor or a tool writes it: a new file under the old name. */
static void write_file(const char *path, const char *token)
{
    char other[128];
    FILE *file;

    snprintf(other, sizeof(other), "%s.new", path);
    file = fopen(other, "w");
    assert_non_null(file);
    fprintf(file, token ? "%stoken: %s\n" : "%s", exporter, token);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(other, path), 0);
}

JMP_TEST(a_new_token_in_the_file_is_used_from_then_on)
{
    _cleanup_(jmp_token_freep) struct jmp_token *token = NULL;
    char directory[] = "/tmp/jmp-token-XXXXXX", path[64];

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/bench.yaml", directory);
    write_file(path, "first");
    assert_int_equal(jmp_token_new("first", path, &token), 0);
    assert_string_equal(jmp_token_bearer(token), "Bearer first");
    write_file(path, "second");
    assert_string_equal(jmp_token_bearer(token), "Bearer second");

    /* Whatever else happens to the file, there is always one. */
    write_file(path, NULL);
    assert_string_equal(jmp_token_bearer(token), "Bearer second");
    write_file(path, "[nonsense");
    assert_string_equal(jmp_token_bearer(token), "Bearer second");
    assert_int_equal(unlink(path), 0);
    assert_string_equal(jmp_token_bearer(token), "Bearer second");
    write_file(path, "third");
    assert_string_equal(jmp_token_bearer(token), "Bearer third");

    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

JMP_TEST(without_a_file_it_stays)
{
    _cleanup_(jmp_token_freep) struct jmp_token *token = NULL;

    assert_int_equal(jmp_token_new("only", NULL, &token), 0);
    assert_string_equal(jmp_token_bearer(token), "Bearer only");
}
