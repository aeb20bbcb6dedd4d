/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/sdwire.h"

#include <string.h>

#include "base/test.h"
#include "drivers/usb/tree_double.h"

/* Hub 1-1: an SDWire with its card in sdb. Hub 1-2: one whose chip is as from the factory, no card reader seen. 1-3: a
 * reader of the second generation. */
static char *machine(void)
{
    static const char *const hub[] = { "busnum",       "1",  "devnum",   "2", "idVendor", "0424", "idProduct", "2640",
                                       "bDeviceClass", "09", "maxchild", "3", NULL };
    static const char *const wire[] = { "busnum", "1",       "devnum",  "3",      "idVendor", "04e8", "idProduct",
                                        "6001",   "product", "sd-wire", "serial", "one",      NULL };
    static const char *const reader[] = { "busnum",    "1",    "devnum", "4", "idVendor", "0424",
                                          "idProduct", "4050", "serial", "r", NULL };
    static const char *const factory[] = { "busnum", "1",       "devnum", "6",      "idVendor", "0403", "idProduct",
                                           "6015",   "product", "FT200X", "serial", "two",      NULL };
    static const char *const second[] = { "busnum",    "1",    "devnum", "7",     "idVendor", "0bda",
                                          "idProduct", "0316", "serial", "three", NULL };
    char *root = usb_tree_new();

    usb_tree_device(root, "pci/usb1/1-1", hub);
    usb_tree_device(root, "pci/usb1/1-1/1-1.2", wire);
    usb_tree_device(root, "pci/usb1/1-1/1-1.1", reader);
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1.1/1-1.1:1.0/host0/0:0:0:0/block/sdb/dev", "8:16");
    usb_tree_link(root, "sys/class/block/sdb", "../../devices/pci/usb1/1-1/1-1.1/1-1.1:1.0/host0/0:0:0:0/block/sdb");
    usb_tree_device(root, "pci/usb1/1-2", hub);
    usb_tree_device(root, "pci/usb1/1-2/1-2.2", factory);
    usb_tree_device(root, "pci/usb1/1-3", second);
    usb_tree_file(root, "sys/devices/pci/usb1/1-3/1-3:1.0/host1/1:0:0:0/block/sdc/dev", "8:32");
    usb_tree_link(root, "sys/class/block/sdc", "../../devices/pci/usb1/1-3/1-3:1.0/host1/1:0:0:0/block/sdc");
    usb_tree_file(root, "proc/self/mountinfo", "20 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw");
    return root;
}

JMP_TEST(the_right_sdwire_and_its_card_are_found)
{
    static const struct {
        const char *serial;
        int error;
        const char *port, *disk; /* disk NULL: not there */
    } cases[] = {
        { NULL, 0, "1-1.2", "/dev/sdb" },  { "one", 0, "1-1.2", "/dev/sdb" }, { "two", 0, "1-2.2", NULL },
        { "three", 0, "1-3", "/dev/sdc" }, { "four", -ENODEV, NULL, NULL },   { "r", -ENODEV, NULL, NULL },
    };
    _cleanup_free_ char *root = machine();
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;

    assert_int_equal(jmp_usb_list_read(root, &list), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_usb_device *device;
        enum jmp_sdwire_kind kind;
        char path[64];
        int r = jmp_sdwire_find(list, cases[i].serial, &device, &kind, &error);

        assert_int_equal(r, cases[i].error);
        if (r < 0) {
            assert_non_null(strstr(error.text, cases[i].serial));
            continue;
        }
        assert_string_equal(device->path, cases[i].port);
        r = jmp_sdwire_disk(root, list, device, kind, path, sizeof(path));
        assert_int_equal(r, cases[i].disk ? 0 : -ENOENT);
        if (cases[i].disk)
            assert_string_equal(path, cases[i].disk);
    }
    usb_tree_remove(root);
}

JMP_TEST(of_two_sdwires_one_has_to_be_named)
{
    static const char *const wire[] = { "busnum", "1",       "devnum",  "9",      "idVendor", "04e8", "idProduct",
                                        "6001",   "product", "sd-wire", "serial", "five",     NULL };
    _cleanup_free_ char *root = machine();
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_usb_device *device;
    enum jmp_sdwire_kind kind;

    usb_tree_device(root, "pci/usb1/1-4", wire);
    assert_int_equal(jmp_usb_list_read(root, &list), 0);
    assert_int_equal(jmp_sdwire_find(list, NULL, &device, &kind, &error), -ENOTUNIQ);
    assert_non_null(strstr(error.text, "port 1-1.2 and one in 1-4"));
    assert_int_equal(jmp_sdwire_find(list, "five", &device, &kind, &error), 0);
    usb_tree_remove(root);
}
