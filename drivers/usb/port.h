/* SPDX-License-Identifier: Apache-2.0 */
/* What drivers of this family have in common. */
#pragma once

#include "drivers/driver.h"

/** jmp_usb_fail() - an error in words becomes that of the call. Return: its errno. */
int jmp_usb_fail(struct jmp_call *call, const struct jmp_error *error);

/** jmp_usb_port_switch() - the body of on and off for the port with this path */
int jmp_usb_port_switch(struct jmp_call *call, const char *path, bool on);
/** jmp_usb_port_tell() - the body of status: "on" or "off", as the hub itself says */
int jmp_usb_port_tell(struct jmp_call *call, const char *path);
/** jmp_usb_port_read() - the body of read: hubs measure nothing, -EOPNOTSUPP */
int jmp_usb_port_read(void *self, struct jmp_call *call);
