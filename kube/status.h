/* SPDX-License-Identifier: Apache-2.0 */
/* What an API server says when it refuses: metav1.Status, typed. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum jmp_kube_reason {
    JMP_KUBE_OK,
    JMP_KUBE_FAILED,                /* no answer at all: see .error */
    JMP_KUBE_BAD_REQUEST,
    JMP_KUBE_UNAUTHORIZED,
    JMP_KUBE_FORBIDDEN,
    JMP_KUBE_NOT_FOUND,
    JMP_KUBE_METHOD_NOT_ALLOWED,
    JMP_KUBE_NOT_ACCEPTABLE,
    JMP_KUBE_ALREADY_EXISTS,
    JMP_KUBE_CONFLICT,
    JMP_KUBE_GONE,
    JMP_KUBE_EXPIRED,
    JMP_KUBE_TOO_LARGE,
    JMP_KUBE_UNSUPPORTED_MEDIA_TYPE,
    JMP_KUBE_INVALID,
    JMP_KUBE_TOO_MANY_REQUESTS,
    JMP_KUBE_INTERNAL_ERROR,
    JMP_KUBE_SERVER_TIMEOUT,
    JMP_KUBE_UNAVAILABLE,
    JMP_KUBE_TIMEOUT,
    JMP_KUBE_UNKNOWN,               /* another word, see .reason_word */
};

#define JMP_KUBE_CAUSES_MAX 8u

struct jmp_kube_cause {
    char reason[64], message[256], field[128];
};

struct jmp_kube_status {
    enum jmp_kube_reason reason;
    int error;                      /* negative errno when the reason is FAILED, otherwise 0 */
    unsigned code;                  /* HTTP's */
    bool is_status;                 /* the server sent a Status; otherwise @message is the body, cut */
    char reason_word[64];           /* as the server wrote it, or as its code is called */
    char message[1024];
    unsigned retry_after;           /* seconds, 0: not said */
    unsigned n_causes;
    struct jmp_kube_cause causes[JMP_KUBE_CAUSES_MAX];
};

/**
 * jmp_kube_status_read() - understand a refusal
 * @code:    HTTP status, not 2xx; 0 for a Status that came inside a stream
 * @is_post: 409 without a reason is AlreadyExists for a POST, Conflict for others
 * @ret:     overwritten
 */
void jmp_kube_status_read(unsigned code, bool is_post, const char *body, size_t length, struct jmp_kube_status *ret);

/** jmp_kube_status_error() - in words: "Error from server (NotFound): ...", "Server error: BODY", or why there was no
 * answer. Return: a negative errno that fits the reason. */
int jmp_kube_status_error(const struct jmp_kube_status *status, struct jmp_error *reterr);
const char *jmp_kube_reason_name(enum jmp_kube_reason reason);
