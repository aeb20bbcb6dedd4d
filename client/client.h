/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's side of the protocol, one step after the other. A program that holds a lease does one thing at a time,
 * while its listeners, pumps and log streams go on: every function of client/ that says "waits" runs the loop until its
 * answer is there. Such functions are called from the program's own flow, never from a callback.
 */
#pragma once

#include "base/error.h"
#include "rpc/channel.h"

struct jmp_client;

/** jmp_client_new() - a loop and gRPC's queue; signals that the program wants on the loop must be blocked before */
int jmp_client_new(struct jmp_client **ret);
/** jmp_client_free() - channels, sessions and dialers must be gone */
struct jmp_client *jmp_client_free(struct jmp_client *client);
JMP_DEFINE_CLEANUP(struct jmp_client *, jmp_client_free)
struct jmp_loop *jmp_client_loop(struct jmp_client *client);
struct jmp_queue *jmp_client_queue(struct jmp_client *client);

/**
 * jmp_client_wait() - run everything until *@done
 * @done:     looked at after each jmp_client_wake(); may be set before
 * @timeout:  microseconds, JMP_USEC_INFINITY: none
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED (interrupted), -ENOMEM.
 */
int jmp_client_wait(struct jmp_client *client, const bool *done, uint64_t timeout);
/** jmp_client_settle() - the same, but not to be interrupted: for what is certain to end soon */
int jmp_client_settle(struct jmp_client *client, const bool *done, uint64_t timeout);
/** jmp_client_wake() - from a callback: what a wait waits for may have happened */
void jmp_client_wake(struct jmp_client *client);
/** jmp_client_pause() - wait for nothing but time. Return: 0, -ECANCELED. */
int jmp_client_pause(struct jmp_client *client, uint64_t usec);

/** jmp_client_interrupt() - the person wants to stop (Ctrl-C): this wait and all later ones end with -ECANCELED,
 * running calls are cancelled, until jmp_client_resume(), which a program calls before it cleans up */
void jmp_client_interrupt(struct jmp_client *client);
void jmp_client_resume(struct jmp_client *client);
/** jmp_client_shield() - a call whose outcome has to be known may go on for @usec after an interruption; 0 ends that */
void jmp_client_shield(struct jmp_client *client, uint64_t usec);
bool jmp_client_interrupted(const struct jmp_client *client);

/**
 * jmp_client_call() - a unary call; waits
 * @timeout:  microseconds, JMP_USEC_INFINITY: none
 * @take:     is given the response, borrowed; may be NULL. Its error becomes the result, with its words if it has some.
 * @retcode:  the status, CANCELLED when interrupted; may be NULL
 *
 * Return: 0, or an errno for the status (rpc/status.h) with the peer's words in @reterr.
 */
int jmp_client_call(struct jmp_client *client, struct jmp_channel *channel, const struct jmp_method_info *method,
                    const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                    int (*take)(const ProtobufCMessage *response, void *user, struct jmp_error *reterr), void *user,
                    enum jmp_code *retcode, struct jmp_error *reterr);
/** jmp_client_refuse() - a status as an error: its errno, and its words (or its name, when it has none) in @reterr */
int jmp_client_refuse(struct jmp_error *reterr, const struct jmp_status *status);
