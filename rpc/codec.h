/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the wire to protobuf-c structs, safely. protobuf-c trusts its input: deeply nested messages overflow its stack,
 * a repeated singular message merges in quadratic time, empty fields blow up in memory. So every message is scanned
 * against its schema first, then unpacked into an arena with a budget. (docs/protocol.md, "Hostile messages")
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

/** jmp_codec_scan() - the guard: depth, number of fields, doubled singular messages, NUL and bad UTF-8 in strings,
 * truncation, groups.
 * Return: 0, -EBADMSG with words. */
int jmp_codec_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t length,
                   struct jmp_error *reterr);

/** jmp_codec_unpack() - scan, then unpack into one arena
 * @ret:  free with jmp_codec_free(); strings and sub-messages live as long
 * Return: 0, -EBADMSG, -ENOMEM (the arena's budget: 16 times the wire and 64 KiB). */
int jmp_codec_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t length,
                     ProtobufCMessage **ret, struct jmp_error *reterr);
void jmp_codec_free(ProtobufCMessage *message);   /* of jmp_codec_unpack() only; accepts NULL */
