/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound on what comes from outside, in one place. Sizes in bytes, times in microseconds. */
#pragma once

#include <stdint.h>

#define JMP_USEC_PER_MSEC UINT64_C(1000)
#define JMP_USEC_PER_SEC UINT64_C(1000000)
#define JMP_USEC_INFINITY UINT64_MAX

#define JMP_MESSAGE_MAX (4u * 1024 * 1024)        /* one gRPC message; the default of every gRPC peer */
/* Payload of one stream frame of ours; stock peers send 64 KiB and take 4 MiB. */
#define JMP_FRAME_MAX (256u * 1024)
#define JMP_DETAILS_MAX 2048u                     /* status details: gRPC peers refuse header blocks over 8 KiB */
#define JMP_NESTING_MAX 100u                      /* levels of nested messages, values or YAML */
#define JMP_FIELDS_MAX 100000u                    /* fields of one message */
#define JMP_CONFIG_MAX (1024u * 1024)             /* one configuration file */
#define JMP_ANCHORS_MAX 256u                      /* anchors of one YAML document */
#define JMP_DEVICES_MAX 1024u                     /* devices of one exporter, a ref with all below its target */
#define JMP_CONFIG_TREE_MAX (64u * 1024 * 1024)   /* what reading such a file may take; the worst takes a third of it */
#define JMP_NODES_MAX 100000u                     /* nodes of one parsed document */
#define JMP_NAME_MAX 253u                         /* names of objects, DNS-1123 subdomains */
#define JMP_COMMIT_MAX (60 * JMP_USEC_PER_SEC)    /* a call that goes on without its client, such as a power cycle */
#define JMP_COMMIT_SLACK (2 * JMP_USEC_PER_SEC)   /* that a busy machine may add to it */
#define JMP_LOG_RING 1024u                        /* log records kept for LogStream readers */
#define JMP_CONSOLE_RING (1024u * 1024)           /* bytes of console output kept for slow viewers */
/* Open at once, where the system lets us; some programs walk up to the limit. */
#define JMP_DESCRIPTORS_MAX 65536u
