/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/find.h"

#include <string.h>

#include "base/test.h"
#include "drivers/usb/hub.h"
#include "drivers/usb/tree_double.h"

static char *bench(struct jmp_usb_list **ret)
{
    char *root = usb_tree_bench();

    assert_int_equal(jmp_usb_list_read(root, ret), 0);
    return root;
}

JMP_TEST(devices_are_listed_with_all_that_sysfs_says)
{
    static const char *const order[] = { "usb1", "1-1", "1-1.2", "1-1.3", "1-1.4" };
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ char *root = bench(&list);
    const struct jmp_usb_device *device;

    assert_int_equal(list->count, ELEMENTSOF(order));
    for (size_t i = 0; i < ELEMENTSOF(order); i++)
        assert_string_equal(list->devices[i].path, order[i]);

    device = jmp_usb_at(list, "1-1.2");
    assert_non_null(device);
    assert_int_equal(device->vendor, 0x0403);
    assert_int_equal(device->product, 0x6001);
    assert_int_equal(device->address, 3);
    assert_string_equal(device->speed, "12");
    assert_string_equal(device->serial, "FT1234");
    assert_string_equal(device->name, "FT232R [31mUART"); /* what a terminal would obey is left out */
    assert_string_equal(device->drivers, "ftdi_sio");
    assert_string_equal(device->nodes, "ttyUSB0");
    assert_false(device->hub);

    device = jmp_usb_at(list, "1-1");
    assert_non_null(device);
    assert_true(device->hub);
    assert_int_equal(device->ports, 4);
    assert_string_equal(device->nodes, ""); /* not those of the devices behind it */
    assert_string_equal(device->drivers, "hub");
    assert_string_equal(jmp_usb_at(list, "1-1.3")->nodes, "sda");
    assert_string_equal(jmp_usb_at(list, "1-1.3")->mount, "/media");
    assert_null(jmp_usb_at(list, "1-1.1"));
    usb_tree_remove(root);
}

JMP_TEST(a_machine_without_usb_has_no_devices)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ char *root = usb_tree_new();

    assert_int_equal(jmp_usb_list_read(root, &list), 0);
    assert_int_equal(list->count, 0);
    usb_tree_remove(root);
}

JMP_TEST(one_device_is_chosen_or_the_reason_is_told)
{
    static const struct {
        struct jmp_usb_selector selector;
        int result;
        const char *says; /* the path, or part of the sentence */
    } rows[] = {
        { { .path = "1-1.2" }, 0, "1-1.2" },
        { { .id = "0483:DF11" }, 0, "1-1.4" },
        { { .id = "483:df11" }, 0, "1-1.4" },
        { { .serial = "FT1234" }, 0, "1-1.2" },
        { { .path = "1-1.2", .id = "0403:6001", .serial = "FT1234" }, 0, "1-1.2" },
        { { .path = "1-1.2", .id = "0483:df11" }, -ENODEV, "no USB device in port 1-1.2 with id 0483:df11" },
        { { .path = "1-1.1" }, -ENODEV, "no USB device in port 1-1.1" },
        { { .serial = "FT123" }, -ENODEV, "with serial number FT123" },
        { { .path = "1-1" }, -EPERM, "1-1 is a hub" },
        { { .id = "1d6b:0002" }, -EPERM, "usb1 is a hub" },
        { { .path = "1-1.3" }, -EPERM, "uses (/media)" },
        { { .serial = "S1" }, -EPERM, "uses (/media)" },
    };
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ char *root = bench(&list);

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_usb_device *device = NULL;

        assert_int_equal(jmp_usb_selector_check(&rows[i].selector, &error), 0);
        assert_int_equal(jmp_usb_choose(list, &rows[i].selector, &device, &error), rows[i].result);
        if (!strstr(rows[i].result == 0 ? device->path : error.text, rows[i].says))
            fail_msg("row %zu: %s", i, error.text);
        assert_true(rows[i].result == 0 || !device);
    }
    usb_tree_remove(root);
}

JMP_TEST(twins_need_a_better_name)
{
    static const char *const twin[] = { "busnum",       "1",  "devnum", "9",    "idVendor", "0483", "idProduct", "df11",
                                        "bDeviceClass", "00", "serial", "358D", NULL };
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ char *root = usb_tree_bench();
    const struct jmp_usb_device *device = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    usb_tree_device(root, "pci/usb1/1-2", twin);
    assert_int_equal(jmp_usb_list_read(root, &list), 0);
    assert_int_equal(jmp_usb_choose(list, &(struct jmp_usb_selector){ .id = "0483:df11" }, &device, &error), -ENOTUNIQ);
    assert_non_null(strstr(error.text, "1-1.4 and 1-2"));
    assert_int_equal(jmp_usb_choose(list, &(struct jmp_usb_selector){ .serial = "358D" }, &device, &error), 0);
    assert_string_equal(device->path, "1-2");
    usb_tree_remove(root);
}

/* Where agent and client share a machine, the client's copy of a device has all of its names. */
JMP_TEST(a_copy_that_came_by_usbip_is_not_given_away)
{
    static const char *const copy[] = { "busnum",       "9",  "devnum", "2",    "idVendor", "0483", "idProduct", "df11",
                                        "bDeviceClass", "00", "serial", "357C", NULL };
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ char *root = usb_tree_bench();
    const struct jmp_usb_device *device = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    usb_tree_device(root, "platform/vhci_hcd.0/usb9/9-1", copy);
    assert_int_equal(jmp_usb_list_read(root, &list), 0);
    assert_int_equal(jmp_usb_choose(list, &(struct jmp_usb_selector){ .serial = "357C" }, &device, &error), 0);
    assert_string_equal(device->path, "1-1.4");
    assert_int_equal(jmp_usb_choose(list, &(struct jmp_usb_selector){ .path = "9-1" }, &device, &error), -EPERM);
    assert_non_null(strstr(error.text, "came here by USB/IP"));
    usb_tree_remove(root);
}

/* The system on a stick: below LVM, and below btrfs, which hides the number of the disk. */
JMP_TEST(the_system_disk_is_found_below_mappings)
{
    static const struct {
        const char *mounts, *swaps, *mount;
    } rows[] = {
        { "20 1 253:0 / / rw - ext4 /dev/mapper/root rw", "", "/" },
        { "20 1 0:25 /@ / rw - btrfs /dev/sda1 rw", "", "/" },
        { "20 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw", "Filename Type\n/dev/sda1 partition 100 0 -2", "swap" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
        _cleanup_free_ char *root = usb_tree_bench();

        usb_tree_file(root, "sys/devices/virtual/block/dm-0/dev", "253:0");
        usb_tree_link(root, "sys/dev/block/253:0", "../../devices/virtual/block/dm-0");
        usb_tree_link(root, "sys/devices/virtual/block/dm-0/slaves/sda1", "../../../../../dev/block/8:1");
        usb_tree_link(root, "sys/class/block/sda1", "../../dev/block/8:1");
        usb_tree_file(root, "proc/self/mountinfo", rows[i].mounts);
        usb_tree_file(root, "proc/swaps", rows[i].swaps);
        assert_int_equal(jmp_usb_list_read(root, &list), 0);
        assert_string_equal(jmp_usb_at(list, "1-1.3")->mount, rows[i].mount);
        assert_string_equal(jmp_usb_at(list, "1-1.2")->mount, "");
        usb_tree_remove(root);
    }
}

JMP_TEST(a_selector_that_is_badly_written_is_refused)
{
    static const struct {
        struct jmp_usb_selector selector;
        const char *says;
    } rows[] = {
        { {}, "no device is named" },
        { { .path = "1" }, "\"1\" is not the path" },
        { { .path = "1-" }, "is not the path" },
        { { .path = "1-1." }, "is not the path" },
        { { .path = "1-0" }, "is not the path" },
        { { .path = "1-1:1.0" }, "is not the path" },
        { { .path = "1-1.1.1.1.1.1.1" }, "is not the path" },
        { { .path = "../1-1" }, "is not the path" },
        { { .path = "usb1" }, "is not the path" },
        { { .id = "0483" }, "is not a vendor" },
        { { .id = "0483:" }, "is not a vendor" },
        { { .id = "00483:df11" }, "is not a vendor" },
        { { .id = "0483:df11x" }, "is not a vendor" },
        { { .serial = "" }, "is empty" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_error error = JMP_ERROR_INIT;

        assert_int_equal(jmp_usb_selector_check(&rows[i].selector, &error), -EINVAL);
        if (!strstr(error.text, rows[i].says))
            fail_msg("row %zu: %s", i, error.text);
    }
}

JMP_TEST(a_port_is_a_hub_and_a_number)
{
    static const struct {
        const char *path, *hub;
        unsigned port;
    } cases[] = {
        { "1-1.2.13", "1-1.2", 13 }, { "12-3", "usb12", 3 }, { "1-1.2", "1-1", 2 },
        { NULL, "usb1", 0 }, { NULL, "usb1", 256 }, { NULL, "1", 2 }, { NULL, "usb", 1 }, { NULL, "", 1 },
        { NULL, "usb1-1", 2 }, { NULL, "1-1.2.3.4.5.6", 7 }, { NULL, "1-111.112.113.114.115.116.117", 118 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char hub[JMP_USB_PATH_MAX], path[JMP_USB_PATH_MAX];
        unsigned port;

        if (jmp_usb_port_join(cases[i].hub, cases[i].port, path) != (cases[i].path ? 0 : -EINVAL))
            fail_msg("row %zu", i);
        if (!cases[i].path)
            continue;
        assert_string_equal(path, cases[i].path);
        assert_int_equal(jmp_usb_port_split(cases[i].path, hub, &port), 0);
        assert_string_equal(hub, cases[i].hub);
        assert_int_equal(port, cases[i].port);
    }
}

JMP_TEST(listing_survives_any_failed_allocation)
{
    _cleanup_free_ char *root = usb_tree_bench();

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
        int r = jmp_usb_list_read(root, &list);

        jmp_fault_disarm();
        assert_true(r == 0 ? list != NULL : r == -ENOMEM && !list);
        if (r == 0)
            break;
    }
    usb_tree_remove(root);
}

/* A USB 3 hub is two: here 1-1 beside 2-4. Their ports are not numbered alike, and one has no other half. */
JMP_TEST(the_halves_of_a_usb3_socket_are_those_that_the_kernel_pairs)
{
    static const char *const root_hub[] = { "busnum",       "2",    "devnum",    "1",
                                            "idVendor",     "1d6b", "idProduct", "0003",
                                            "bDeviceClass", "09",   "speed",     "5000",
                                            "maxchild",     "4",    NULL };
    static const char *const hub[] = { "busnum",       "2",  "devnum", "2",    "idVendor", "0424", "idProduct", "5514",
                                       "bDeviceClass", "09", "speed",  "5000", "maxchild", "3",    NULL };
    static const struct {
        const char *path;
        int result;
        const char *halves[2];
    } rows[] = {
        { "1-1.1", 2, { "1-1.1", "2-4.3" } }, { "2-4.3", 2, { "2-4.3", "1-1.1" } }, { "1-1.2", 1, { "1-1.2", "" } },
        { "1-1.3", 1, { "1-1.3", "" } }, /* its other half is on a hub that has gone */
        { "1-1", 2, { "1-1", "2-4" } },       { "2-4", 2, { "2-4", "1-1" } },       { "1-1.5", -ENODEV, { NULL } },
        { "3-1", -ENODEV, { NULL } },         { "1-1.2.1", -ENODEV, { NULL } }, /* 1-1.2 is no hub */
        { "usb1", -EINVAL, { NULL } },
    };
    _cleanup_free_ char *root = usb_tree_bench();

    usb_tree_device(root, "pci/usb2", root_hub);
    usb_tree_device(root, "pci/usb2/2-4", hub);
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1:1.0/1-1-port1/peer", "../../../../usb2/2-4/2-4:1.0/2-4-port3");
    usb_tree_link(root, "sys/devices/pci/usb2/2-4/2-4:1.0/2-4-port3/peer", "../../../../usb1/1-1/1-1:1.0/1-1-port1");
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1:1.0/1-1-port2/location", "0");
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1:1.0/1-1-port3/peer", "../../../../usb9/9-1/9-1:1.0/9-1-port3");
    usb_tree_link(root, "sys/devices/pci/usb1/1-0:1.0/usb1-port1/peer", "../../../usb2/2-0:1.0/usb2-port4");
    usb_tree_link(root, "sys/devices/pci/usb2/2-0:1.0/usb2-port4/peer", "../../../usb1/1-0:1.0/usb1-port1");

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        char halves[2][JMP_USB_PATH_MAX];
        struct jmp_error error = JMP_ERROR_INIT;
        int r = jmp_port_halves(root, rows[i].path, halves, &error);

        if (r != rows[i].result)
            fail_msg("%s: %d %s", rows[i].path, r, error.text);
        for (size_t j = 0; r > 0 && j < 2; j++)
            assert_string_equal(halves[j], rows[i].halves[j]);
    }
    usb_tree_remove(root);
}
