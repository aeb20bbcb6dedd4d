/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a controller, a router and an exporter in this process, on the client's own loop, which answer as they are
 * told to. */
#pragma once

#include "client/acquire.h"
#include "client/dial.h"
#include "client/resource_client.h"

/* What the lab says about its lease when it is asked: one step after the other, the last for ever. */
enum lab_step {
    LAB_SILENT,
    LAB_PENDING,
    LAB_READY,
    LAB_UNSATISFIABLE,
    LAB_INVALID,
    LAB_RELEASED,
    LAB_NO_EXPORTER,
    LAB_DOWN,
    LAB_GONE
};

struct lab {
    struct jmp_client *client;
    struct jmp_controller_client *controller;
    struct jmp_server *server;           /* controller and router, without TLS on TCP and a unix socket */
    struct jmp_server *exporter;         /* behind the router; on a unix socket too */
    char endpoint[64], local_endpoint[128], socket[128], directory[64];
    bool local;                          /* Dial names the unix socket as router */

    const enum lab_step *steps;          /* ends with LAB_SILENT behind the first */
    const char *owner;
    unsigned refused_dials;              /* this many are refused first */
    enum jmp_code dial_code;
    const char *dial_text;
    bool hold_create;                    /* CreateLease is answered after 50 ms */
    bool hold_dial;                      /* Dial is never answered */
    const char *passphrase;              /* the exporter asks for it */
    const unsigned *statuses;            /* of the exporter, one after the other, 0 behind the last, which stays */
    const unsigned *ending;              /* these instead, once EndSession came */
    int64_t duration;                    /* of the lease, microseconds from now; 0: not told */
    bool refuse_encoding;
    bool chatter;                        /* the echo driver talks without end instead */

    bool chatter_left;                   /* and its client has gone */
    unsigned page_size;                  /* of the last list that was asked for */
    const char *new_token;               /* what RotateToken gives, NULL: nothing */
    unsigned gets, creates, deletes, dials, dials_cancelled, tunnels, calls, ends;
    size_t download;                     /* the driver's file has so many bytes; see lab_download_byte() */
    size_t downloaded;
    char uploaded[256 * 1024];
    size_t uploaded_length;
    bool upload_ended;
    struct jmp_rpc *held;                /* a call that is never answered */
    bool held_cancelled;
    struct jmp_timer timer;
    struct jmp_rpc *resource;
};

struct lab *lab_new(void);
void lab_free(struct lab *lab);
char lab_download_byte(size_t at);

/* What its exporter reports: uuids of its drivers. */
#define LAB_POWER "00000000-0000-4000-8000-000000000002"
#define LAB_ECHO "00000000-0000-4000-8000-000000000003"
