/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program as a person calls it: what it says, on both streams, and its exit status stand in tests/golden/agent.
 * JMP_GOLDEN_WRITE=1 writes them anew, to be read before they are committed.
 */
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/test.h"

static void compare(const char *path, const char *text)
{
    _cleanup_free_ char *expected = NULL;
    size_t length;

    if (getenv("JMP_GOLDEN_WRITE")) {
        assert_int_equal(jmp_file_write(path, text, strlen(text), 0644, NULL), 0);
        return;
    }
    assert_int_equal(jmp_file_read(path, 1024 * 1024, &expected, &length, NULL), 0);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: expected\n%s\nbut it is\n%s", path, expected, text);
}

static void run(const char *arguments, const char *golden)
{
    const char *source = getenv("JMP_SOURCE_DIR") ?: ".", *build = getenv("JMP_BUILD_DIR") ?: "build";
    _cleanup_free_ char *command = NULL, *path = NULL;
    char text[16384];
    size_t length;
    int status;
    FILE *stream;

    /* From the directory of the files, so that no path of this machine is in the output. */
    assert_true(
        asprintf(&command,
                 "cd '%s/tests/golden/agent' && JMP_PLUGIN_PATH=/nonexistent JMP_CLIENT_CONFIG_HOME=/nonexistent "
                 "timeout 20 '%s/agent/jmp-agent' %s 2>&1",
                 source, build, arguments) > 0);
    assert_true(asprintf(&path, "%s/tests/golden/agent/%s.txt", source, golden) > 0);
    stream = popen(command, "r");
    assert_non_null(stream);
    length = fread(text, 1, sizeof(text) - 64, stream);
    status = pclose(stream);
    assert_true(WIFEXITED(status));
    snprintf(text + length, sizeof(text) - length, "exit status %d\n", WEXITSTATUS(status));
    compare(path, text);
}

JMP_TEST(it_says_what_it_always_said)
{
    static const char *const rows[][2] = {
        { "", "nothing" },
        { "--help", "help" },
        { "run --help", "run-help" },
        { "check --help", "check-help" },
        { "drivers --help", "drivers-help" },
        { "rum", "typo" },
        { "run", "run-nothing" },
        { "run --exporter a --exporter-config b", "run-both" },
        { "run --exporter nosuch", "run-nosuch" },
        { "run --exporter a/b", "run-no-alias" },
        { "run --exprter a", "run-option-typo" },
        { "run --exporter-config good.yaml --log-level loud", "run-level" },
        { "run --exporter-config good.yaml --tls-grpc-listener 1", "run-no-certificate" },
        { "run --exporter-config good.yaml --tls-grpc-listener host --tls-grpc-insecure", "run-no-port" },
        { "run --exporter-config good.yaml --passphrase p", "run-passphrase-alone" },
        { "run --exporter-config bad.yaml --tls-grpc-listener 127.0.0.1:0 --tls-grpc-insecure --log-level critical",
          "run-bad" },
        { "check ./good.yaml", "check-good" },
        { "check ./bad.yaml", "check-bad" },
        { "check", "check-nothing" },
        { "check a b", "check-two" },
        { "check nosuch", "check-nosuch" },
        { "drivers no-such-driver", "drivers-nosuch" },
        { "drivers echo", "drivers-echo" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        run(rows[i][0], rows[i][1]);
}
