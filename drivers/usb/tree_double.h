/* SPDX-License-Identifier: Apache-2.0 */
/* A machine with USB devices that exists as files only, for tests: a root for jmp_usb_list_read(). */
#pragma once

/** usb_tree_new() - an empty machine in a temporary directory; failures fail the test. free() after usb_tree_remove().
 * */
char *usb_tree_new(void);
void usb_tree_remove(const char *root);
/** usb_tree_file() - a file below @root with its directories */
void usb_tree_file(const char *root, const char *path, const char *text);
void usb_tree_link(const char *root, const char *path, const char *target);
/** usb_tree_device() - plug something in
 * @place: its directory below sys/devices: "pci/usb1/1-1/1-1.2"; the last part is its path
 * @attributes: pairs of file and content, ends with NULL */
void usb_tree_device(const char *root, const char *place, const char *const attributes[]);
/** usb_tree_bench() - a root hub with a hub in port 1, in which are a serial adapter (port 2), a stick that is mounted
 * on /media (port 3) and a DFU device (port 4); the disk of / is none of them */
char *usb_tree_bench(void);
