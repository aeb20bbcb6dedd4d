/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/callback.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/test.h"

JMP_TEST(values_are_found_in_a_query_and_their_escapes_resolved)
{
    static const struct {
        const char *query, *key, *value;
        int result;
    } cases[] = {
        { "code=abc&state=1", "code", "abc", 0 },
        { "code=abc&state=1", "state", "1", 0 },
        { "state=1&xcode=2", "code", NULL, -ENOENT },
        { "codes=1", "code", NULL, -ENOENT },
        { "", "code", NULL, -ENOENT },
        { "code", "code", NULL, -ENOENT },
        { "code=", "code", "", 0 },
        { "&&code=x&&", "code", "x", 0 },
        { "code=a%2Fb%3d+c%7E", "code", "a/b= c~", 0 },
        { "code=%C3%A4", "code", "\xc3\xa4", 0 },
        { "code=first&code=second", "code", "first", 0 },
        { "code=%", "code", NULL, -EINVAL },
        { "code=%4", "code", NULL, -EINVAL },
        { "code=%4&x=1", "code", NULL, -EINVAL },
        { "code=%zz", "code", NULL, -EINVAL },
        { "code=a%00b", "code", NULL, -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *value = NULL;

        print_message("%s of \"%s\"\n", cases[i].key, cases[i].query);
        assert_int_equal(jmp_callback_value(cases[i].query, cases[i].key, &value), cases[i].result);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
        else
            assert_null(value);
    }
}

JMP_TEST(a_port_that_is_taken_is_named)
{
    struct jmp_callback first = JMP_CALLBACK_INIT, second = JMP_CALLBACK_INIT;
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_callback_open(&first, 0, NULL), 0);
    assert_true(first.port > 0);
    assert_int_equal(jmp_callback_open(&second, first.port, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "cannot be listened on"));
    jmp_callback_close(&first);
    jmp_callback_close(&second);
}

/* A browser that asks for @target and does not stay for the answer. */
static void visit(const struct jmp_callback *callback, const char *target)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons((uint16_t)callback->port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (target)
        dprintf(fd, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
    close(fd);
}

JMP_TEST(only_the_answer_to_this_login_is_taken)
{
    struct jmp_callback callback = JMP_CALLBACK_INIT;
    struct jmp_error error = JMP_ERROR_INIT;
    char *code = NULL;

    assert_int_equal(jmp_callback_open(&callback, 0, NULL), 0);
    visit(&callback, NULL);
    visit(&callback, "/favicon.ico");
    visit(&callback, "/callback?code=theirs&state=other");
    visit(&callback, "/callback?state=mine");
    visit(&callback, "/callback?code=a%2Fb&state=mine");
    assert_int_equal(jmp_callback_wait(&callback, "mine", 60 * JMP_USEC_PER_SEC, &code, NULL), 0);
    assert_string_equal(code, "a/b");
    free(code);

    visit(&callback, "/callback?error=access_denied&error_description=not+you&state=mine");
    assert_int_equal(jmp_callback_wait(&callback, "mine", 60 * JMP_USEC_PER_SEC, &code, &error), -EACCES);
    assert_non_null(strstr(error.text, "access_denied: not you"));
    assert_int_equal(jmp_callback_wait(&callback, "mine", 1, &code, NULL), -ETIMEDOUT);
    jmp_callback_close(&callback);
}
