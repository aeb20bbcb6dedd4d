/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in driver classes by name, for drivers/registry.c and for tests. */
#pragma once

#include "drivers/driver.h"

extern const struct jmp_driver_class jmp_composite_class;

extern const struct jmp_driver_class jmp_power_mock_class;
extern const struct jmp_driver_class jmp_power_mock_sync_class;
extern const struct jmp_driver_class jmp_power_gpio_class;
extern const struct jmp_driver_class jmp_power_sequence_class;

extern const struct jmp_driver_class jmp_gpio_output_class;
extern const struct jmp_driver_class jmp_gpio_input_class;

extern const struct jmp_driver_class jmp_storage_mock_class;
extern const struct jmp_driver_class jmp_storage_mock_flasher_class;
extern const struct jmp_driver_class jmp_flasher_mock_class;
extern const struct jmp_driver_class jmp_storage_mux_class;
extern const struct jmp_driver_class jmp_disk_flasher_class;
extern const struct jmp_driver_class jmp_sdwire_class;
extern const struct jmp_driver_class jmp_dutlink_class;
extern const struct jmp_driver_class jmp_usb_stick_class;
extern const struct jmp_driver_class jmp_pico_class;
extern const struct jmp_driver_class jmp_stlink_msd_class;

extern const struct jmp_driver_class jmp_network_tcp_class;
extern const struct jmp_driver_class jmp_network_udp_class;
extern const struct jmp_driver_class jmp_network_unix_class;
extern const struct jmp_driver_class jmp_network_echo_class;

extern const struct jmp_driver_class jmp_serial_class;

extern const struct jmp_driver_class jmp_sim_board_class;

extern const struct jmp_driver_class jmp_relay_noyito_hid_class;
extern const struct jmp_driver_class jmp_relay_noyito_serial_class;
extern const struct jmp_driver_class jmp_relay_lcus_class;
extern const struct jmp_driver_class jmp_relay_usbrelay_class;
extern const struct jmp_driver_class jmp_ykush_class;
extern const struct jmp_driver_class jmp_usb_device_class;
extern const struct jmp_driver_class jmp_usb_port_class;
