/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's virtual USB host controller (vhci-hcd), where devices of other machines are plugged in. Which port has
 * which is written to /run/vhci_hcd as Debian's usbip does, so that either tool knows what the other did.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define JMP_VHCI_PORTS_MAX 256u

struct jmp_vhci_port {
    unsigned number;
    bool super; /* for devices of USB 3 */
    bool used;
    uint32_t device; /* bus << 16 | address where it comes from; 0 unless used */
    char busid[32];  /* what it is on this machine: "4-1"; "" unless used */
    char from[256];  /* host or driver that it comes from; "" if nobody wrote it down */
    char remote[32]; /* its bus id there */
};

/**
 * jmp_vhci_ports() - all ports
 * @root:  directory that stands for /, "" for the real one
 *
 * Return: 0, -ENODEV (the kernel has none) with words, -EPROTO.
 */
int jmp_vhci_ports(const char *root, struct jmp_vhci_port ret[JMP_VHCI_PORTS_MAX], size_t *retcount,
                   struct jmp_error *reterr);

/** jmp_vhci_check() - can devices be attached, by this user? 0, -ENODEV, -EACCES with words. */
int jmp_vhci_check(const char *root, struct jmp_error *reterr);

/**
 * jmp_vhci_attach() - plug a device into a free port
 * @fd:       a stream socket on which an import has been answered; the kernel holds on to it, the caller closes @fd
 * @speed:    as USB/IP counts
 * @from:     for people: what it comes from, without blanks
 * @retport:  its port
 *
 * Return: 0, -EBUSY (no port is free), -EINVAL, -EACCES with words.
 */
int jmp_vhci_attach(const char *root, int fd, uint32_t device, uint32_t speed, const char *from, const char *remote,
                    unsigned *retport, struct jmp_error *reterr);

/** jmp_vhci_detach() - unplug; also what usbip attached. 0, -ENOENT (nothing is there), -EACCES, -ENODEV. */
int jmp_vhci_detach(const char *root, unsigned port, struct jmp_error *reterr);

/** jmp_vhci_is_recorded() - false once somebody has detached the port on purpose */
bool jmp_vhci_is_recorded(const char *root, unsigned port);
/** jmp_vhci_forget() - the device went by itself */
void jmp_vhci_forget(const char *root, unsigned port);
