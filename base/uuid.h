/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs as text: 36 characters and a NUL. */
#pragma once

#include <stdbool.h>

#define JMP_UUID_SIZE 37

/** jmp_uuid_random() - a version 4 UUID from the kernel's random numbers */
void jmp_uuid_random(char ret[JMP_UUID_SIZE]);
/** jmp_uuid_derive() - a stable version 8 UUID: the same for the same @space and @name (SHA-256 based) */
void jmp_uuid_derive(const char *space, const char *name, char ret[JMP_UUID_SIZE]);
/** jmp_uuid_parse() - canonical lower-case form of @text; braces, "urn:uuid:", upper case and missing dashes are
 * accepted as stock exporters do. False: not a UUID, @ret untouched. */
bool jmp_uuid_parse(const char *text, char ret[JMP_UUID_SIZE]);
