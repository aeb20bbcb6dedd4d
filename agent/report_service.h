/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree as messages: for GetReport, and for Register with the controller. (docs/protocol.md, "Reports") */
#pragma once

#include "agent/device.h"

struct Jumpstarter__V1__DriverInstanceReport;

/** jmp_report_build() - all devices, parents first
 * @tree:  owns everything
 * Return: 0, -ENOMEM. */
int jmp_report_build(const struct jmp_devices *devices, struct jmp_tree *tree,
                     struct Jumpstarter__V1__DriverInstanceReport ***ret, size_t *retcount);

struct Jumpstarter__V1__StatusResponse;

/** jmp_context_print() - what a lease's client has said about it, as a JSON object
 * @ret:  free()
 * Return: 0, -E2BIG (too many entries), -ENOMEM. */
int jmp_context_print(const struct Jumpstarter__V1__StatusResponse *response, char **ret);

#define JMP_LABEL_NAME "jumpstarter.dev/name"
#define JMP_LABEL_CLIENT "jumpstarter.dev/client"
