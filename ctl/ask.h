/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the person at the terminal. Without a terminal nothing is asked: a program that calls us shall not
 * hang. */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"

/* Before a file is written with which nobody checks whom he talks to. */
#define JMP_CONFIRM_INSECURE \
    "Insecure TLS mode is enabled. Certificate verification will be disabled for HTTPS connections. Continue?"
#define JMP_ASK_MAX 16384u /* bytes of an answer; tokens are long */

/** jmp_ask_possible() - somebody is there to answer */
bool jmp_ask_possible(void);
/**
 * jmp_ask() - one line
 * @question:  printed on standard error, with ": " behind it
 * @hidden:    what is typed is not shown
 *
 * Ctrl-C ends the program, with the terminal as it was.
 *
 * Return: free() it, after explicit_bzero() if it is a secret; NULL: nobody is there, or nothing was said.
 */
char *jmp_ask(const char *question, bool hidden);
/** jmp_confirm() - whether yes was said; no, when nobody is there or nothing was said. What is neither is asked
 * again. */
bool jmp_confirm(const char *question);
