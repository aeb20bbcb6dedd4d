/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens in files, in a time of our own: the linker puts our clock in the place of the loop's. */
#include "kube/credential.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/test.h"

static uint64_t now;

uint64_t __wrap_jmp_now(void);
uint64_t __wrap_jmp_now(void)
{
    return now;
}

static char directory[64];

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void drop(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    unlink(path);
}

static int parse(const char *text, size_t length, const char *file, struct jmp_tree *tree, const struct jmp_node **ret,
                 struct jmp_error *reterr)
{
    return jmp_json_parse(text, length, tree, ret, reterr);
}

static const char *token_of(struct jmp_kube_credential *credential)
{
    struct jmp_kube_identity identity = { 0 };

    return jmp_kube_credential_get(credential, &identity, NULL) < 0 ? NULL : identity.token;
}

JMP_TEST(a_pods_token_that_is_replaced_is_read_again)
{
    struct jmp_kube_access *access;
    struct jmp_kube_credential *credential;
    struct jmp_kube_identity identity;
    struct jmp_error error = JMP_ERROR_INIT;

    strcpy(directory, "/tmp/jmp-credential-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    put("ca.crt", "CA");
    put("namespace", "pods\n");
    put("token", "  one\n\n");
    unsetenv("KUBECONFIG");
    setenv("HOME", directory, 1);
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(jmp_kube_access_load(NULL, NULL, directory, parse, &access, NULL), 0);
    assert_int_equal(jmp_kube_credential_new(NULL, access, &credential), 0);

    now = 1000 * JMP_USEC_PER_SEC;
    assert_string_equal(token_of(credential), "one");
    put("token", "two\n");
    now += 29 * JMP_USEC_PER_SEC;
    assert_string_equal(token_of(credential), "one"); /* not with every request */
    now += 2 * JMP_USEC_PER_SEC;
    assert_string_equal(token_of(credential), "two");
    /* One that is just being renewed is not there for a moment. */
    drop("token");
    now += 31 * JMP_USEC_PER_SEC;
    assert_string_equal(token_of(credential), "two");
    put("token", "three");
    assert_string_equal(token_of(credential), "three");
    /* What a server refuses is read again at once. */
    put("token", "four");
    assert_true(jmp_kube_credential_refuse(credential));
    assert_string_equal(token_of(credential), "four");
    put("token", " \n");
    assert_true(jmp_kube_credential_refuse(credential));
    assert_int_equal(jmp_kube_credential_get(credential, &identity, &error), -EINVAL);
    assert_non_null(strstr(error.text, "empty"));

    jmp_kube_credential_free(credential);
    jmp_kube_access_free(access);
    drop("token");
    drop("namespace");
    drop("ca.crt");
    rmdir(directory);
}
