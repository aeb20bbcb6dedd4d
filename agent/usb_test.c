/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usb.h"

#include <string.h>

#include "agent/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/test.h"
#include "drivers/usb/tree_double.h"

static char *tree(const char *root, bool json)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    assert_int_equal(jmp_usb_tree(root, json, stream, NULL), 0);
    assert_int_equal(fclose(stream), 0);
    return text;
}

JMP_TEST(the_tree_is_a_table)
{
    static const char expected[] =
        "PATH   HUB   ID         SPEED  POWER  PORTS  DRIVER       OWNER          NAME\n"
        "usb1   -     1d6b:0002  480    -      2 ?    -            -              Test Host Controller\n"
        "1-1    usb1  0424:2514  480    ?      4 ?    hub          -              -\n"
        "1-1.2  1-1   0403:6001  12     ?      -      ftdi_sio     ttyUSB0        FT232R [31mUART FT1234\n"
        "1-1.3  1-1   0781:5567  480    ?      -      usb-storage  sda on /media  S1\n"
        "1-1.4  1-1   0483:df11  12     ?      -      usbfs        openocd        STM32 BOOTLOADER 357C\n";
    _cleanup_free_ char *root = usb_tree_bench(), *text = NULL;

    /* A program that drives the device itself. */
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1.4/1-1.4:1.0/driver", "../../../../../bus/usb/drivers/usbfs");
    usb_tree_file(root, "proc/4711/comm", "openocd");
    usb_tree_link(root, "proc/4711/fd/3", "/dev/bus/usb/001/005");
    text = tree(root, false);
    assert_string_equal(text, expected);
    usb_tree_remove(root);
}

JMP_TEST(the_tree_is_a_list_for_programs)
{
    _cleanup_free_ char *root = usb_tree_bench(), *text = tree(root, true);
    _cleanup_(jmp_tree_freep) struct jmp_tree *nodes = NULL;
    const struct jmp_node *list = NULL, *row;

    assert_int_equal(jmp_tree_new(0, &nodes), 0);
    assert_int_equal(jmp_json_parse(text, strlen(text), nodes, &list, NULL), 0);
    assert_int_equal(list->count, 5);
    row = jmp_node_at(list, 2);
    assert_string_equal(jmp_node_string(jmp_node_get(row, "path")), "1-1.2");
    assert_string_equal(jmp_node_string(jmp_node_get(row, "hub")), "1-1");
    assert_string_equal(jmp_node_string(jmp_node_get(row, "id")), "0403:6001");
    assert_string_equal(jmp_node_string(jmp_node_get(row, "owner")), "ttyUSB0");
    assert_true(jmp_node_is_null(jmp_node_get(row, "port_power")));
    assert_true(jmp_node_is_null(jmp_node_get(jmp_node_at(list, 0), "hub")));
    usb_tree_remove(root);
}

static void suggest(const char *root, char **ret)
{
    size_t size;
    FILE *stream = open_memstream(ret, &size);

    assert_non_null(stream);
    assert_int_equal(jmp_suggest(root, "bench", stream, NULL), 0);
    assert_int_equal(fclose(stream), 0);
}

JMP_TEST(what_is_suggested_passes_the_check)
{
    static const char serial[] = "dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0-port0";
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = NULL;
    _cleanup_free_ char *root = usb_tree_bench(), *text = NULL, *path = NULL;
    struct jmp_problems problems = { 0 };
    FILE *nowhere = fopen("/dev/null", "we");

    assert_non_null(nowhere);
    static const char *const ykush[] = { "busnum",    "1",    "devnum",       "6",     "idVendor", "04d8",
                                         "idProduct", "f2f7", "bDeviceClass", "00",    "speed",    "12",
                                         "serial",    "YK1",  "product",      "YKUSH", NULL };
    static const char *const relay[] = { "busnum",       "1",         "devnum",    "7",
                                         "idVendor",     "16c0",      "idProduct", "05df",
                                         "bDeviceClass", "00",        "speed",     "1.5",
                                         "product",      "USBRelay2", NULL };
    static const char *const other[] = { "busnum",       "1",      "devnum",    "8",
                                         "idVendor",     "16c0",   "idProduct", "05df",
                                         "bDeviceClass", "00",     "speed",     "1.5",
                                         "product",      "A Game", NULL };

    usb_tree_device(root, "pci/usb1/1-1/1-1.5", ykush);
    usb_tree_device(root, "pci/usb1/1-1/1-1.6", relay);
    usb_tree_device(root, "pci/usb1/1-1/1-1.7", other);
    usb_tree_file(root, "dev/ttyUSB0", "");
    usb_tree_link(root, serial, "../../ttyUSB0");
    usb_tree_link(root, "dev/serial/by-path/platform-3f980000.usb-usbv2-0:1.2:1.0-port0", "../../ttyUSB0");
    usb_tree_file(root, "sys/bus/gpio/devices/gpiochip0/dev", "254:0");
    suggest(root, &text);

    assert_non_null(strstr(text, "  ft232r-31muart:\n    type: serial\n"));
    assert_non_null(strstr(text, "      url: /dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0-port0\n"));
    assert_null(strstr(text, "usbv2")); /* the same port again */
    assert_null(strstr(text, "1-1.2")); /* the adapter itself: it is a console already */
    assert_null(strstr(text, "1-1.3")); /* a disk in use */
    assert_non_null(strstr(text, "  stm32-bootloader:\n    type: usb-device\n"));
    assert_non_null(strstr(text, "      path: 1-1.4\n"));
    assert_non_null(strstr(text, "\n#      device: /dev/gpiochip0\n"));
    /* Boards that have drivers, and another of the same maker's number. */
    assert_non_null(strstr(text, "  ykush:\n    type: ykush\n"));
    assert_non_null(strstr(text, "      serial: YK1\n      default: keep\n"));
    assert_non_null(strstr(text, "  usbrelay2:\n    type: relay-usbrelay\n"));
    assert_non_null(strstr(text, "      channel: 1\n"));
    assert_non_null(strstr(text, "  a-game:\n    type: usb-device\n"));

    assert_true(asprintf(&path, "%s/bench.yaml", root) > 0);
    assert_int_equal(jmp_file_write(path, text, strlen(text), 0600, NULL), 0);
    assert_int_equal(jmp_plugins_load("/nonexistent", &plugins, &problems), 0);
    if (jmp_check_run(path, plugins, nowhere, &problems) < 0 || problems.errors > 0)
        fail_msg("%s", problems.first ? problems.first->error.text : "?");
    jmp_problems_clear(&problems);
    fclose(nowhere);
    usb_tree_remove(root);
}
