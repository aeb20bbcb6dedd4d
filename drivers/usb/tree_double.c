/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/tree_double.h"

#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test.h"

char *usb_tree_new(void)
{
    char *root = strdup("/tmp/jmp-usb-XXXXXX");

    assert_non_null(root);
    assert_non_null(mkdtemp(root));
    return root;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

void usb_tree_remove(const char *root)
{
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) < 0)
            assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
}

void usb_tree_file(const char *root, const char *path, const char *text)
{
    _cleanup_fclose_ FILE *file = NULL;
    char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s/%s", root, path);
    make_parents(full);
    file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", text) > 0);
}

void usb_tree_link(const char *root, const char *path, const char *target)
{
    char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s/%s", root, path);
    make_parents(full);
    assert_int_equal(symlink(target, full), 0);
}

void usb_tree_device(const char *root, const char *place, const char *const attributes[])
{
    const char *slash = strrchr(place, '/'), *path = slash ? slash + 1 : place;
    char name[PATH_MAX], target[PATH_MAX];

    for (size_t i = 0; attributes[i]; i += 2) {
        snprintf(name, sizeof(name), "sys/devices/%s/%s", place, attributes[i]);
        usb_tree_file(root, name, attributes[i + 1]);
    }
    snprintf(name, sizeof(name), "sys/bus/usb/devices/%s", path);
    snprintf(target, sizeof(target), "../../../devices/%s", place);
    usb_tree_link(root, name, target);
}

char *usb_tree_bench(void)
{
    static const char *const root_hub[] = { "busnum",
                                            "1",
                                            "devnum",
                                            "1",
                                            "idVendor",
                                            "1d6b",
                                            "idProduct",
                                            "0002",
                                            "bDeviceClass",
                                            "09",
                                            "speed",
                                            "480",
                                            "maxchild",
                                            "2",
                                            "product",
                                            "Test Host Controller",
                                            NULL };
    static const char *const hub[] = { "busnum",       "1",  "devnum", "2",   "idVendor", "0424", "idProduct", "2514",
                                       "bDeviceClass", "09", "speed",  "480", "maxchild", "4",    NULL };
    static const char *const serial[] = {
        "busnum",    "1",      "devnum",       "3",    "idVendor", "0403",
        "idProduct", "6001",   "bDeviceClass", "00",   "speed",    "12",
        "serial",    "FT1234", "manufacturer", "FTDI", "product",  "FT232R \x1b[31mUART",
        NULL
    };
    static const char *const stick[] = { "busnum",       "1",  "devnum", "4",   "idVendor", "0781", "idProduct", "5567",
                                         "bDeviceClass", "00", "speed",  "480", "serial",   "S1",   NULL };
    static const char *const dfu[] = {
        "busnum", "1",     "devnum", "5",      "idVendor", "0483",    "idProduct",        "df11", "bDeviceClass",
        "00",     "speed", "12",     "serial", "357C",     "product", "STM32 BOOTLOADER", NULL
    };
    char *root = usb_tree_new();

    usb_tree_device(root, "pci/usb1", root_hub);
    usb_tree_device(root, "pci/usb1/1-1", hub);
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1:1.0/driver", "../../../../bus/usb/drivers/hub");
    usb_tree_device(root, "pci/usb1/1-1/1-1.2", serial);
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1.2/1-1.2:1.0/driver", "../../../../../bus/usb/drivers/ftdi_sio");
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1.2/1-1.2:1.0/ttyUSB0/tty/ttyUSB0/dev", "188:0");
    usb_tree_device(root, "pci/usb1/1-1/1-1.3", stick);
    usb_tree_link(root, "sys/devices/pci/usb1/1-1/1-1.3/1-1.3:1.0/driver",
                  "../../../../../bus/usb/drivers/usb-storage");
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1.3/1-1.3:1.0/host0/0:0:0:0/block/sda/dev", "8:0");
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1.3/1-1.3:1.0/host0/0:0:0:0/block/sda/sda1/dev", "8:1");
    usb_tree_file(root, "sys/devices/pci/usb1/1-1/1-1.3/1-1.3:1.0/host0/0:0:0:0/block/sda/sda1/partition", "1");
    usb_tree_link(root, "sys/dev/block/8:1", "../../devices/pci/usb1/1-1/1-1.3/1-1.3:1.0/host0/0:0:0:0/block/sda/sda1");
    usb_tree_device(root, "pci/usb1/1-1/1-1.4", dfu);
    usb_tree_file(root, "proc/self/mountinfo",
                  "20 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n21 20 8:1 / /media rw shared:1 - vfat /dev/sda1 rw");
    return root;
}
