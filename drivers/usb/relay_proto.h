/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of cheap relay boards. NOYITO's and LCUS boards take A0 CHANNEL STATE SUM and tell their state as text,
 * "CH1: ON"; boards called USBRelayN (dcttech) have feature reports. Channels count from 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JMP_RELAY_CHANNELS_MAX 8u
#define JMP_RELAY_FRAME_SIZE 4u
#define JMP_RELAY_STATUS_BYTE 0xffu /* the question of serial boards */

/** jmp_relay_frame() - switch one channel */
void jmp_relay_frame(unsigned channel, bool on, uint8_t ret[JMP_RELAY_FRAME_SIZE]);
/** jmp_relay_frame_status() - the question of HID boards */
void jmp_relay_frame_status(uint8_t ret[JMP_RELAY_FRAME_SIZE]);

/** jmp_relay_parse() - find channels in what a board says of itself
 * @text:       "CH1: ON\r\nCH2: OFF...", perhaps cut short, perhaps anything
 * @retstates:  bits of channels that are on, channel 1 is bit 0
 * Return: bits of channels that were told of, 0: none. */
unsigned jmp_relay_parse(const char *text, size_t length, unsigned *retstates);

/** jmp_relay_word() - "on", "off", or "partial" when the channels in @wanted differ */
const char *jmp_relay_word(unsigned wanted, unsigned states);
