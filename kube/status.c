/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/status.h"

#include <jansson.h>
#include <string.h>

#include "base/text.h"

static const struct {
    enum jmp_kube_reason reason;
    const char *name;
    unsigned code;      /* the first row of a code is what the code alone means */
    int error;
} reasons[] = {
    { JMP_KUBE_BAD_REQUEST, "BadRequest", 400, -EINVAL },
    { JMP_KUBE_UNAUTHORIZED, "Unauthorized", 401, -EACCES },
    { JMP_KUBE_FORBIDDEN, "Forbidden", 403, -EPERM },
    { JMP_KUBE_NOT_FOUND, "NotFound", 404, -ENOENT },
    { JMP_KUBE_METHOD_NOT_ALLOWED, "MethodNotAllowed", 405, -EOPNOTSUPP },
    { JMP_KUBE_NOT_ACCEPTABLE, "NotAcceptable", 406, -EOPNOTSUPP },
    { JMP_KUBE_CONFLICT, "Conflict", 409, -ESTALE },
    { JMP_KUBE_ALREADY_EXISTS, "AlreadyExists", 409, -EEXIST },
    { JMP_KUBE_GONE, "Gone", 410, -ESTALE },
    { JMP_KUBE_EXPIRED, "Expired", 410, -ESTALE },
    { JMP_KUBE_TOO_LARGE, "RequestEntityTooLarge", 413, -E2BIG },
    { JMP_KUBE_UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", 415, -EOPNOTSUPP },
    { JMP_KUBE_INVALID, "Invalid", 422, -EINVAL },
    { JMP_KUBE_TOO_MANY_REQUESTS, "TooManyRequests", 429, -EAGAIN },
    { JMP_KUBE_INTERNAL_ERROR, "InternalError", 500, -EIO },
    { JMP_KUBE_SERVER_TIMEOUT, "ServerTimeout", 500, -ETIMEDOUT },
    { JMP_KUBE_UNAVAILABLE, "ServiceUnavailable", 503, -EAGAIN },
    { JMP_KUBE_TIMEOUT, "Timeout", 504, -ETIMEDOUT },
    { JMP_KUBE_FAILED, "Failed", 0, -EIO },
    { JMP_KUBE_OK, "Success", 0, 0 },
    { JMP_KUBE_UNKNOWN, "Unknown", 0, -EIO },
};

const char *jmp_kube_reason_name(enum jmp_kube_reason reason)
{
    for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
        if (reasons[i].reason == reason)
            return reasons[i].name;
    return "?";
}

static void copy(char *ret, size_t size, const char *text, size_t length)
{
    length = jmp_text_cut(text, length, size - 1);
    memcpy(ret, text, length);
    ret[length] = '\0';
}

static void copy_member(char *ret, size_t size, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_string(value))
        copy(ret, size, json_string_value(value), json_string_length(value));
}

static void read_details(const json_t *details, struct jmp_kube_status *ret)
{
    const json_t *causes = json_object_get(details, "causes"), *retry = json_object_get(details, "retryAfterSeconds");
    json_int_t seconds = json_integer_value(retry);

    if (seconds > 0)
        ret->retry_after = seconds < 86400 ? (unsigned)seconds : 86400;
    for (size_t i = 0; i < json_array_size(causes) && ret->n_causes < JMP_KUBE_CAUSES_MAX; i++) {
        struct jmp_kube_cause *cause = &ret->causes[ret->n_causes++];
        const json_t *item = json_array_get(causes, i);

        copy_member(cause->reason, sizeof(cause->reason), item, "reason");
        copy_member(cause->message, sizeof(cause->message), item, "message");
        copy_member(cause->field, sizeof(cause->field), item, "field");
    }
}

static void set_reason(unsigned code, bool is_post, struct jmp_kube_status *ret)
{
    ret->reason = JMP_KUBE_UNKNOWN;
    for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
        bool same =
            *ret->reason_word ? strcmp(reasons[i].name, ret->reason_word) == 0 : reasons[i].code == code && code > 0;

        if (same) {
            ret->reason = reasons[i].reason;
            break;
        }
    }
    if (*ret->reason_word)
        return;
    if (ret->reason == JMP_KUBE_CONFLICT && is_post)
        ret->reason = JMP_KUBE_ALREADY_EXISTS;
    else if (ret->reason == JMP_KUBE_UNKNOWN && code >= 500)
        ret->reason = JMP_KUBE_INTERNAL_ERROR;
    snprintf(ret->reason_word, sizeof(ret->reason_word), "%s", jmp_kube_reason_name(ret->reason));
}

void jmp_kube_status_read(unsigned code, bool is_post, const char *body, size_t length, struct jmp_kube_status *ret)
{
    json_t *status = json_loadb(body, length, 0, NULL);
    const char *kind = json_string_value(json_object_get(status, "kind"));

    *ret = (struct jmp_kube_status){ .code = code, .is_status = kind && strcmp(kind, "Status") == 0 };
    if (ret->is_status) {
        if (code == 0)
            ret->code = code = (unsigned)json_integer_value(json_object_get(status, "code"));
        copy_member(ret->reason_word, sizeof(ret->reason_word), status, "reason");
        copy_member(ret->message, sizeof(ret->message), status, "message");
        read_details(json_object_get(status, "details"), ret);
    } else {
        while (length > 0 && strchr("\r\n ", body[length - 1]))
            length--;
        copy(ret->message, sizeof(ret->message), body, length);
    }
    set_reason(code, is_post, ret);
    json_decref(status);
}

int jmp_kube_status_error(const struct jmp_kube_status *status, struct jmp_error *reterr)
{
    int error = status->error;

    for (size_t i = 0; error == 0 && i < ELEMENTSOF(reasons); i++)
        if (reasons[i].reason == status->reason)
            error = reasons[i].error;

    if (status->reason == JMP_KUBE_FAILED)
        return jmp_error_set(reterr, error, "the API server cannot be reached: %s", status->message);
    if (!status->is_status)
        return jmp_error_set(reterr, error, "Server error: %s",
                             *status->message ? status->message : status->reason_word);
    jmp_error_set(reterr, error, "Error from server (%s): %s", status->reason_word, status->message);
    if (status->n_causes > 0 && *status->causes[0].field)
        jmp_error_hint(reterr, "%s: %s", status->causes[0].field, status->causes[0].message);
    return error;
}
