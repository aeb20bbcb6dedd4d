/* SPDX-License-Identifier: Apache-2.0 */
/* The order of what is written to configfs is seen by the kernel of the hardware bench; here: what, and what is said
 * when not. */
#include "drivers/storage/gadget.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/test.h"

#define LUN "functions/mass_storage.0/lun.0/"

static char root[64];

static void path_in(char path[PATH_MAX], const char *part)
{
    snprintf(path, PATH_MAX, "%s/%s", root, part);
}

static void touch(const char *part)
{
    char path[PATH_MAX];

    path_in(path, part);
    assert_int_equal(jmp_file_write(path, "", 0, 0644, NULL), 0);
}

static void expect(const char *part, const char *text)
{
    _cleanup_free_ char *found = NULL;
    char path[PATH_MAX];
    size_t length;

    path_in(path, part);
    assert_int_equal(jmp_file_read(path, 4096, &found, &length, NULL), 0);
    found[strcspn(found, "\n")] = '\0';
    assert_string_equal(found, text);
}

#define GADGET "sys/kernel/config/usb_gadget/stick/"

/* Where the kernel would make the files of a directory by itself, they are there before. */
static struct jmp_gadget machine(bool gadget)
{
    static const char *const files[] = { "idVendor",
                                         "idProduct",
                                         "UDC",
                                         "strings/0x409/serialnumber",
                                         "strings/0x409/manufacturer",
                                         "strings/0x409/product",
                                         LUN "file",
                                         LUN "removable",
                                         LUN "ro",
                                         "configs/c.1/MaxPower" };

    snprintf(root, sizeof(root), "/tmp/jmp-gadget-XXXXXX");
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; gadget && i < ELEMENTSOF(files); i++) {
        char part[PATH_MAX];

        snprintf(part, sizeof(part), GADGET "%s", files[i]);
        touch(part);
    }
    touch("sys/kernel/config/usb_gadget/other");
    return (struct jmp_gadget){ .root = root,
                                .name = "stick",
                                .file = "/srv/disk.img",
                                .serial = "S1",
                                .maker = "M",
                                .product = "P",
                                .vendor_id = 0x1d6b,
                                .product_id = 0x104,
                                .removable = true };
}

static void machine_free(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

JMP_TEST(a_stick_is_plugged_in_and_pulled_out)
{
    struct jmp_gadget gadget = machine(true);
    struct jmp_error error = JMP_ERROR_INIT;
    char link[PATH_MAX];
    struct stat info;

    touch("sys/class/udc/fe980000.usb");
    assert_int_equal(jmp_gadget_is_bound(&gadget), 0);
    for (unsigned i = 0; i < 2; i++) { /* once more: nothing happens */
        if (jmp_gadget_bind(&gadget, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(jmp_gadget_is_bound(&gadget), 1);
    }
    expect(GADGET "UDC", "fe980000.usb");
    expect(GADGET "idVendor", "0x1d6b");
    expect(GADGET "idProduct", "0x0104");
    expect(GADGET "strings/0x409/serialnumber", "S1");
    expect(GADGET LUN "file", "/srv/disk.img");
    expect(GADGET LUN "removable", "1");
    expect(GADGET LUN "ro", "0");
    path_in(link, GADGET "configs/c.1/mass_storage.0");
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(jmp_gadget_unbind(&gadget, &error), 0);
        assert_int_equal(jmp_gadget_is_bound(&gadget), 0);
    }
    expect(GADGET LUN "file", "");
    machine_free();
}

JMP_TEST(why_there_is_no_stick_is_said)
{
    struct jmp_gadget gadget = machine(false);
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_gadget_is_bound(&gadget), 0);
    assert_int_equal(jmp_gadget_unbind(&gadget, &error), 0);
    assert_int_equal(jmp_gadget_bind(&gadget, &error), -ENODEV);
    assert_non_null(strstr(error.hint, "dwc2"));
    touch("sys/class/udc/a");
    touch("sys/class/udc/b");
    assert_int_equal(jmp_gadget_bind(&gadget, &error), -EINVAL);
    assert_non_null(strstr(error.text, "2 USB device ports"));
    gadget.udc = "a";
    assert_int_equal(jmp_gadget_bind(&gadget, &error), -ENOENT); /* a directory that is no configfs */
    machine_free();
}
