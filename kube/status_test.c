/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/status.h"

#include <string.h>

#include "base/test.h"

#define STATUS(more) "{\"kind\":\"Status\",\"status\":\"Failure\"" more "}"

JMP_TEST(refusals_have_types)
{
    static const struct {
        unsigned code;
        bool is_post;
        const char *body;
        enum jmp_kube_reason reason;
        const char *words;
        int error;
    } rows[] = {
        { 404, false, STATUS(",\"reason\":\"NotFound\",\"message\":\"leases \\\"x\\\" not found\",\"code\":404"),
          JMP_KUBE_NOT_FOUND, "Error from server (NotFound): leases \"x\" not found", -ENOENT },
        { 404, false, "404 page not found\n", JMP_KUBE_NOT_FOUND, "Server error: 404 page not found", -ENOENT },
        { 409, true, "", JMP_KUBE_ALREADY_EXISTS, "Server error: AlreadyExists", -EEXIST },
        { 409, false, "", JMP_KUBE_CONFLICT, "Server error: Conflict", -ESTALE },
        { 409, true, STATUS(",\"reason\":\"Conflict\",\"message\":\"m\""), JMP_KUBE_CONFLICT,
          "Error from server (Conflict): m", -ESTALE },
        { 410, false, STATUS(",\"reason\":\"Expired\",\"message\":\"old\""), JMP_KUBE_EXPIRED,
          "Error from server (Expired): old", -ESTALE },
        { 0, false, STATUS(",\"code\":410,\"message\":\"too old\""), JMP_KUBE_GONE, "Error from server (Gone): too old",
          -ESTALE },
        { 500, false, STATUS(",\"reason\":\"ServerTimeout\",\"message\":\"t\""), JMP_KUBE_SERVER_TIMEOUT,
          "Error from server (ServerTimeout): t", -ETIMEDOUT },
        { 502, false, "<html>Bad Gateway</html>", JMP_KUBE_INTERNAL_ERROR, "Server error: <html>Bad Gateway</html>",
          -EIO },
        { 418, false, STATUS(",\"reason\":\"Teapot\",\"message\":\"m\""), JMP_KUBE_UNKNOWN,
          "Error from server (Teapot): m", -EIO },
        { 400, false, "[1", JMP_KUBE_BAD_REQUEST, "Server error: [1", -EINVAL },
        { 403, false, "{\"kind\":\"Status\",\"reason\":7,\"message\":[]}", JMP_KUBE_FORBIDDEN,
          "Error from server (Forbidden): ", -EPERM },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        struct jmp_kube_status status;

        jmp_kube_status_read(rows[i].code, rows[i].is_post, rows[i].body, strlen(rows[i].body), &status);
        assert_int_equal(jmp_kube_status_error(&status, &error), rows[i].error);
        assert_string_equal(error.text, rows[i].words);
        assert_int_equal(status.reason, rows[i].reason);
    }
}

JMP_TEST(causes_and_the_time_to_wait_are_kept)
{
    static const char body[] = STATUS(
        ",\"reason\":\"Invalid\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":3,\"causes\":["
        "{\"reason\":\"FieldValueInvalid\",\"message\":\"must be greater than 0\","
        "\"field\":\"spec.leaseDurationSeconds\"},"
        "{\"message\":7},{},{},{},{},{},{},{},{}]}");
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_kube_status status;

    jmp_kube_status_read(422, false, body, strlen(body), &status);
    assert_int_equal(status.retry_after, 3);
    assert_int_equal(status.n_causes, JMP_KUBE_CAUSES_MAX);
    assert_string_equal(status.causes[0].field, "spec.leaseDurationSeconds");
    jmp_kube_status_error(&status, &error);
    assert_string_equal(error.hint, "spec.leaseDurationSeconds: must be greater than 0");
}

JMP_TEST(a_long_body_is_cut_between_characters)
{
    char body[4096];
    struct jmp_kube_status status;

    for (size_t i = 0; i + 1 < sizeof(body); i += 2)
        memcpy(body + i, "\xc3\xa4", 2);
    jmp_kube_status_read(503, false, body, sizeof(body), &status);
    assert_int_equal(strlen(status.message), sizeof(status.message) - 2);
    assert_int_equal(status.reason, JMP_KUBE_UNAVAILABLE);
}
