/* SPDX-License-Identifier: Apache-2.0 */
/* Times, spans and ages as Kubernetes writes and shows them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define JMP_KUBE_TIME_SIZE 32        /* of "2024-10-24T15:23:45.000000Z" and a NUL, for any year */
#define JMP_KUBE_DURATION_SIZE 40    /* of "-2562047h47m16.854775808s" and a NUL */
#define JMP_KUBE_AGE_SIZE 48         /* of two numbers and their units */

/** jmp_kube_time_parse() - RFC 3339: any offset, 0 to 9 digits of a second, of which six are kept
 * @ret:  microseconds since 1970
 * Return: 0, -EINVAL. */
int jmp_kube_time_parse(const char *text, int64_t *ret);

/** jmp_kube_time_print() - metav1.Time: UTC, whole seconds, "Z" */
void jmp_kube_time_print(int64_t usec, char ret[static JMP_KUBE_TIME_SIZE]);
/** jmp_kube_microtime_print() - metav1.MicroTime: UTC, always six digits, "Z"; API servers refuse 0, 3 and 9 */
void jmp_kube_microtime_print(int64_t usec, char ret[static JMP_KUBE_TIME_SIZE]);

/** jmp_kube_duration_parse() - Go's text: terms of ns us µs ms s m h with fractions, a sign in front, "0" alone
 * @ret:  nanoseconds
 * Return: 0, -EINVAL, -ERANGE when it does not fit. */
int jmp_kube_duration_parse(const char *text, int64_t *ret);
/** jmp_kube_duration_print() - as Go prints it: "1h0m0s", "1.5s", "0s" */
void jmp_kube_duration_print(int64_t nsec, char ret[static JMP_KUBE_DURATION_SIZE]);

/** jmp_kube_age_print() - how the administration's tables show the age of Jumpstarter's objects: "1h1m", "1d1h",
 * "12mo4d"
 * @seconds:  negative ones count as 0 */
void jmp_kube_age_print(int64_t seconds, char ret[static JMP_KUBE_AGE_SIZE]);
/** jmp_kube_lease_age_print() - how kubectl shows ages: "119s", "5m33s", "3h5m", "8d" */
void jmp_kube_lease_age_print(int64_t seconds, char ret[static JMP_KUBE_AGE_SIZE]);
