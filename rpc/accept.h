/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of connections when a process has no descriptor left for them. */
#pragma once

/** jmp_accept_hold() - keep a descriptor back for that moment, as long as a server listens; on the loop's thread.
 * Return: 0 or what open() says. */
int jmp_accept_hold(void);
/** jmp_accept_drop() - once for each jmp_accept_hold() that succeeded */
void jmp_accept_drop(void);
