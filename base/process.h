/* SPDX-License-Identifier: Apache-2.0 */
/* What a program settles for its whole process, once, at its start. */
#pragma once

/**
 * jmp_process_raise_descriptors() - as many descriptors as this process may have, up to JMP_DESCRIPTORS_MAX
 *
 * The soft limit is 1024 nearly everywhere, for the sake of programs that use select(). A gRPC server that runs out of
 * descriptors stops listening for good (1.51: accept() failing with EMFILE ends its listener), so that a few hundred
 * idle connections would silence it for ever.
 *
 * Return: 0, -errno when the limit cannot be read or set.
 */
int jmp_process_raise_descriptors(void);
