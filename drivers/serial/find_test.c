/* SPDX-License-Identifier: Apache-2.0 */
/* Which descriptions fit which ports, without any; finding real ones is for the tests with simulated hardware. */
#include "drivers/serial/find.h"

#include <string.h>

#include "base/json.h"
#include "base/test.h"

static struct jmp_serial_match match_of(const char *port, const char *id, const char *udev, struct jmp_tree **tree)
{
    struct jmp_serial_match match = { .usb_port = port, .usb_id = id };
    const struct jmp_node *node = NULL;

    *tree = NULL;
    if (udev) {
        assert_int_equal(jmp_tree_new(0, tree), 0);
        assert_int_equal(jmp_json_parse(udev, strlen(udev), *tree, &node, NULL), 0);
        match.udev = node;
    }
    return match;
}

static const char *property(void *user, const char *name)
{
    static const char *const known[][2] = {
        { "ID_PATH", "platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.2:1.0" },
        { "ID_SERIAL_SHORT", "A5XK3RJT" },
        { "ID_USB_INTERFACE_NUM", "00" },
        { "EMPTY", "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(known); i++)
        if (strcmp(known[i][0], name) == 0)
            return known[i][1];
    return NULL;
}

JMP_TEST(all_that_is_set_has_to_fit)
{
    static const struct jmp_serial_facts adapter = {
        .usb_port = "1-1.2", .usb_interface = "1-1.2:1.0", .vendor = "0403", .product = "6a01", .serial = "A5XK3RJT",
        .property = property,
    }, on_board = { .property = property }, bare = { .usb_port = "1-1", .vendor = "0403", .product = "6a01" };
    static const struct {
        const char *port, *id, *udev;
        const struct jmp_serial_facts *facts;
        bool fits;
    } cases[] = {
        { "1-1.2", NULL, NULL, &adapter, true },
        { "1-1.2:1.0", NULL, NULL, &adapter, true },
        { "1-1.2:1.1", NULL, NULL, &adapter, false },
        { "1-1", NULL, NULL, &adapter, false },
        { "1-1.2.1", NULL, NULL, &adapter, false },
        { "1-1.2", NULL, NULL, &on_board, false },
        { NULL, "0403:6a01", NULL, &adapter, true },
        { NULL, "0403:6A01", NULL, &adapter, true },
        { NULL, "0403:6001", NULL, &adapter, false },
        { NULL, "0404:6a01", NULL, &adapter, false },
        { NULL, "0403:6a01:A5XK3RJT", NULL, &adapter, true },
        { NULL, "0403:6a01:A5XK3RJ", NULL, &adapter, false },
        { NULL, "0403:6a01:a5xk3rjt", NULL, &adapter, false },
        { NULL, "0403:6a01", NULL, &bare, true },
        { NULL, "0403:6a01:A5XK3RJT", NULL, &bare, false },
        { NULL, "0403:6a01", NULL, &on_board, false },
        { NULL, NULL, "{\"ID_SERIAL_SHORT\": \"A5XK3RJT\"}", &adapter, true },
        { NULL, NULL, "{\"ID_SERIAL_SHORT\": \"A5*\"}", &on_board, true },
        { NULL, NULL, "{\"ID_SERIAL_SHORT\": \"B*\"}", &adapter, false },
        { NULL, NULL, "{\"ID_PATH\": \"*-usb-0:1.2:1.?\", \"ID_USB_INTERFACE_NUM\": \"00\"}", &adapter, true },
        { NULL, NULL, "{\"ID_PATH\": \"*-usb-0:1.2:1.?\", \"ID_USB_INTERFACE_NUM\": \"01\"}", &adapter, false },
        { NULL, NULL, "{\"ID_MODEL\": \"*\"}", &adapter, false },
        { NULL, NULL, "{\"EMPTY\": \"*\"}", &adapter, true },
        { NULL, NULL, "{\"EMPTY\": \"*\"}", &bare, false },
        { "1-1.2", "0403:6a01:A5XK3RJT", "{\"ID_SERIAL_SHORT\": \"A*\"}", &adapter, true },
        { "1-1.3", "0403:6a01:A5XK3RJT", "{\"ID_SERIAL_SHORT\": \"A*\"}", &adapter, false },
        { "1-1.2", "0403:6a01:A5XK3RJT", "{\"ID_SERIAL_SHORT\": \"B*\"}", &adapter, false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_serial_match match = match_of(cases[i].port, cases[i].id, cases[i].udev, &tree);

        assert_true(jmp_serial_match_is_set(&match));
        assert_int_equal(jmp_serial_match_check(&match, NULL), 0);
        if (jmp_serial_match_fits(&match, cases[i].facts) != cases[i].fits)
            fail_msg("case %zu", i);
    }
}

JMP_TEST(what_can_never_fit_is_refused)
{
    static const struct {
        const char *port, *id, *udev, *word;
    } cases[] = {
        { "", NULL, NULL, "usb_port" },
        { "1", NULL, NULL, "usb_port" },
        { "1-", NULL, NULL, "usb_port" },
        { "1-1.", NULL, NULL, "1-1." },
        { "/dev/ttyUSB0", NULL, NULL, "/dev/ttyUSB0" },
        { "1-1:1", NULL, NULL, "1-1:1" },
        { "1-1:1.", NULL, NULL, "1-1:1." },
        { "1-1:1.0x", NULL, NULL, "1-1:1.0x" },
        { "usb1", NULL, NULL, "usb1" },
        { NULL, "", NULL, "usb_id" },
        { NULL, "0403", NULL, "0403" },
        { NULL, "403:6001", NULL, "403:6001" },
        { NULL, "0403:600g", NULL, "0403:600g" },
        { NULL, "0403:6001:", NULL, "SERIAL" },
        { NULL, "0403:6001 ", NULL, "SERIAL" },
        { NULL, NULL, "\"ID_PATH\"", "map" },
        { NULL, NULL, "{}", "map" },
        { NULL, NULL, "{\"ID_PATH\": null}", "ID_PATH" },
        { NULL, NULL, "{\"ID_PATH\": [\"x\"]}", "ID_PATH" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_serial_match match = match_of(cases[i].port, cases[i].id, cases[i].udev, &tree);
        struct jmp_error error = JMP_ERROR_INIT;

        assert_int_equal(jmp_serial_match_check(&match, &error), -EINVAL);
        if (!strstr(error.text, cases[i].word))
            fail_msg("case %zu: %s", i, error.text);
    }
}

JMP_TEST(a_port_that_is_not_there_is_explained)
{
    struct jmp_serial_match match = { .usb_port = "99-9.9", .usb_id = "dead:beef:NONE" };
    struct jmp_error error = JMP_ERROR_INIT;
    char *path = NULL;

    assert_int_equal(jmp_serial_find(&match, &path, &error), -ENODEV);
    assert_null(path);
    assert_non_null(strstr(error.text, "99-9.9"));
    assert_non_null(strstr(error.text, "dead:beef:NONE"));
}
