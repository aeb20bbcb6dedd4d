/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/registry.h"

#include "drivers/families.h"

const struct jmp_driver_class *const jmp_builtin_drivers[] = {
    &jmp_composite_class,
    &jmp_power_mock_class,
    &jmp_power_mock_sync_class,
    &jmp_power_gpio_class,
    &jmp_power_sequence_class,
    &jmp_gpio_output_class,
    &jmp_gpio_input_class,
    &jmp_storage_mock_class,
    &jmp_storage_mock_flasher_class,
    &jmp_flasher_mock_class,
    &jmp_storage_mux_class,
    &jmp_disk_flasher_class,
    &jmp_sdwire_class,
    &jmp_dutlink_class,
    &jmp_usb_stick_class,
    &jmp_pico_class,
    &jmp_stlink_msd_class,
    &jmp_network_tcp_class,
    &jmp_network_udp_class,
    &jmp_network_unix_class,
    &jmp_network_echo_class,
    &jmp_serial_class,
    &jmp_sim_board_class,
    &jmp_relay_noyito_hid_class,
    &jmp_relay_noyito_serial_class,
    &jmp_relay_lcus_class,
    &jmp_relay_usbrelay_class,
    &jmp_ykush_class,
    &jmp_usb_device_class,
    &jmp_usb_port_class,
    NULL,
};
