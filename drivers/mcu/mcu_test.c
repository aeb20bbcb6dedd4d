/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/mcu/uf2.h"
#include "drivers/mcu/volume.h"

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

#define RP2040 0xe48bff56u
#define WITH_FAMILY 0x2000u

static void block(uint8_t *at, uint32_t flags, uint32_t address, uint32_t size, uint32_t number, uint32_t total,
                  uint32_t family)
{
    const uint32_t head[] = { 0x0a324655, 0x9e5d5157, flags, address, size, number, total, family };

    memset(at, 0x42, JMP_UF2_BLOCK);
    for (size_t i = 0; i < ELEMENTSOF(head); i++)
        put32(at + 4 * i, head[i]);
    put32(at + 508, 0x0ab16f30);
}

JMP_TEST(uf2_files_are_accepted_or_refused)
{
    static const struct {
        const char *what;
        struct {
            uint32_t flags, address, size, number, total, family;
        } blocks[3];
        const char *words; /* NULL: good */
    } cases[] = {
        { "two pages",
          { { WITH_FAMILY, 0x10000000, 256, 0, 2, RP2040 }, { WITH_FAMILY, 0x10000100, 256, 1, 2, RP2040 } },
          NULL },
        { "no family", { { 0, 0x10000000, 256, 0, 1, 77 } }, NULL },
        { "two families",
          { { WITH_FAMILY, 0x10ffff00, 256, 0, 2, 1 }, { WITH_FAMILY, 0x10000000, 256, 0, 1, 2 } },
          NULL },
        { "a comment before", { { 1, 0, 0, 0, 0, 0 }, { 0, 0x10000000, 256, 0, 1, 0 } }, NULL },
        { "only comments", { { 1, 0, 0, 0, 0, 0 } }, "nothing for the flash" },
        { "size 0", { { 0, 0x10000000, 0, 0, 1, 0 } }, "impossible size" },
        { "size 477", { { 0, 0x10000000, 477, 0, 1, 0 } }, "impossible size" },
        { "number", { { 0, 0x10000000, 256, 1, 1, 0 } }, "impossible number" },
        { "totals differ", { { 0, 0x10000000, 256, 0, 2, 0 }, { 0, 0x10000100, 256, 1, 3, 0 } }, "impossible number" },
        { "overlap", { { 0, 0x10000000, 256, 0, 2, 0 }, { 0, 0x100000ff, 256, 1, 2, 0 } }, "impossible address" },
        { "backwards", { { 0, 0x10000100, 256, 0, 2, 0 }, { 0, 0x10000000, 256, 1, 2, 0 } }, "impossible address" },
        { "end of the address space", { { 0, 0xffffff80, 256, 0, 1, 0 } }, "impossible address" },
        { "more than there should be",
          { { 0, 0x10000000, 256, 0, 1, 0 }, { 0, 0x10000100, 256, 0, 1, 0 } },
          "more blocks" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint8_t file[3 * JMP_UF2_BLOCK];
        struct jmp_error error = JMP_ERROR_INIT;
        size_t count = 0;
        int r;

        for (; count < 3 && (cases[i].blocks[count].flags || cases[i].blocks[count].address); count++)
            block(file + count * JMP_UF2_BLOCK, cases[i].blocks[count].flags, cases[i].blocks[count].address,
                  cases[i].blocks[count].size, cases[i].blocks[count].number, cases[i].blocks[count].total,
                  cases[i].blocks[count].family);
        r = jmp_uf2_check(file, count * JMP_UF2_BLOCK, &error);
        if (cases[i].words ? r != -EBADMSG || !strstr(error.text, cases[i].words) : r != 0)
            fail_msg("%s: %d %s", cases[i].what, r, error.text);
        assert_int_equal(jmp_uf2_check(file, count * JMP_UF2_BLOCK - 1, NULL), -EBADMSG);
        file[(count - 1) * JMP_UF2_BLOCK + 511] ^= 1;
        assert_int_equal(jmp_uf2_check(file, count * JMP_UF2_BLOCK, NULL), -EBADMSG);
    }
    assert_int_equal(jmp_uf2_check("", 0, NULL), -EBADMSG);
}

static char root[64];

static void machine_new(void)
{
    snprintf(root, sizeof(root), "/tmp/jmp-mcu-XXXXXX");
    assert_non_null(mkdtemp(root));
}

static void machine_free(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

static void file(const char *name, const char *text)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(jmp_file_write(path, text, strlen(text), 0644, NULL), 0);
}

static bool has_info(const char *place, const void *user)
{
    return jmp_volume_has(place, "INFO_UF2.TXT");
}

JMP_TEST(a_volume_is_found_where_it_is_mounted)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char place[PATH_MAX], expected[PATH_MAX];

    machine_new();
    assert_int_equal(jmp_volume_find(root, has_info, NULL, place, &error), -ENOENT); /* no /proc at all */
    file("proc/self/mounts",
         "proc /proc proc rw 0 0\n/dev/sda1 /media/RPI\\040RP2 vfat rw 0 0\n/dev/sdb1 /media/other vfat rw 0 0\n");
    assert_int_equal(jmp_volume_find(root, has_info, NULL, place, &error), -ENOENT);
    file("media/RPI RP2/INFO_UF2.TXT", "x");
    assert_int_equal(jmp_volume_find(root, has_info, NULL, place, &error), 0);
    snprintf(expected, sizeof(expected), "%s/media/RPI RP2", root);
    assert_string_equal(place, expected);
    file("media/other/INFO_UF2.TXT", "x");
    assert_int_equal(jmp_volume_find(root, has_info, NULL, place, &error), -ENOTUNIQ);
    machine_free();
}

/* A volume that is really mounted, in a name space of mounts of our own. Return: false where we may not. */
static bool mount_volume(const char *name)
{
    char path[PATH_MAX];

    machine_new();
    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("volume", path, "tmpfs", 0, "size=4m") < 0) {
        machine_free();
        return false;
    }
    return true;
}

static void unmount_volume(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(umount(path), 0);
    machine_free();
}

static int flash(struct device *device, const void *data, size_t size, const char *args)
{
    _cleanup_close_ int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    fd_write_all(fd, data, size);
    lseek(fd, 0, SEEK_SET);
    device_lend(device, fd);
    return device_call(device, "flash", args);
}

static void expect(const char *name, const void *data, size_t size)
{
    _cleanup_free_ char *found = NULL;
    char path[PATH_MAX];
    size_t length;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(jmp_file_read(path, 1 << 20, &found, &length, NULL), 0);
    assert_int_equal(length, size);
    assert_memory_equal(found, data, size);
}

JMP_TEST(an_stlink_is_programmed_through_its_disk)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_stlink_msd_class, "{\"volume_name\":\"node_x\"}");

    if (!mount_volume("NODE_X"))
        skip();
    file("NODE_X/DETAILS.TXT", "# comment\r\nVersion : 0221\r\nBuild:\tJan  7 2020\r\nMaker: \xa9 ST\r\n");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_call(device, "info", NULL), 0);
    assert_string_equal(jmp_node_string(jmp_node_get(device_result(device), "Version")), "0221");
    assert_string_equal(jmp_node_string(jmp_node_get(device_result(device), "Build")), "Jan  7 2020");
    assert_string_equal(jmp_node_string(jmp_node_get(device_result(device), "Maker")), "? ST");
    assert_non_null(strstr(jmp_node_string(jmp_node_get(device_result(device), "mount_point")), "NODE_X"));
    assert_int_equal(flash(device, "firmware", 8, "[{}, \"app.bin\"]"), 0);
    expect("NODE_X/app.bin", "firmware", 8);
    assert_int_equal(flash(device, ":00000001FF", 11, "[{}, \"app.HEX\"]"), 0);
    assert_int_equal(flash(device, "firmware", 8, "[{}]"), 0);
    expect("NODE_X/firmware.bin", "firmware", 8);
    assert_int_equal(flash(device, "firmware", 8, "[{}, \"app.elf\"]"), -EINVAL);
    assert_int_equal(flash(device, "firmware", 8, "[{}, \"../app.bin\"]"), -EINVAL);
    assert_int_equal(flash(device, "", 0, "[{}, \"app.bin\"]"), -EBADMSG);
    assert_int_equal(device_call(device, "dump", "[{}]"), -EOPNOTSUPP);
    unmount_volume("NODE_X");
    assert_int_equal(flash(device, "firmware", 8, "[{}, \"app.bin\"]"), -ENOENT);
}

JMP_TEST(a_pico_is_programmed_through_its_disk)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_pico_class, NULL);
    uint8_t firmware[JMP_UF2_BLOCK];

    block(firmware, WITH_FAMILY, 0x10000000, 256, 0, 1, RP2040);
    if (!mount_volume("RPI-RP2"))
        skip();
    file("RPI-RP2/INFO_UF2.TXT", "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_call(device, "enter_bootloader", NULL), 0);
    assert_int_equal(device_call(device, "bootloader_info", NULL), 0);
    assert_string_equal(jmp_node_string(jmp_node_get(device_result(device), "Board-ID")), "RPI-RP2");
    assert_int_equal(flash(device, firmware, sizeof(firmware), "[{}, \"blink\"]"), 0);
    expect("RPI-RP2/blink.uf2", firmware, sizeof(firmware));
    assert_int_equal(flash(device, firmware, sizeof(firmware), "[{}]"), 0);
    expect("RPI-RP2/Firmware.uf2", firmware, sizeof(firmware));
    assert_int_equal(flash(device, firmware, sizeof(firmware), "[{}, \"other.UF2\"]"), 0);
    expect("RPI-RP2/other.UF2", firmware, sizeof(firmware)); /* said once is enough */
    assert_int_equal(flash(device, firmware, sizeof(firmware), "[{}, \"\"]"), 0);
    assert_int_equal(flash(device, "no UF2 at all", 13, "[{}]"), -EBADMSG);
    assert_int_equal(flash(device, firmware, sizeof(firmware), "[{}, \"../x\"]"), -EINVAL);
    unmount_volume("RPI-RP2");
}

JMP_TEST(either_of_the_files_that_a_pico_has_on_its_disk_will_do)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_pico_class, NULL);

    if (!mount_volume("volume"))
        skip();
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_call(device, "bootloader_info", NULL), -EIO);
    file("volume/INDEX.HTM/of-somebody-else", "x");
    assert_int_equal(device_call(device, "bootloader_info", NULL), -EIO);
    unmount_volume("volume");
    if (!mount_volume("volume"))
        skip();
    file("volume/INDEX.HTM", "<html>");
    assert_int_equal(device_call(device, "enter_bootloader", NULL), 0);
    assert_int_equal(device_call(device, "bootloader_info", NULL), 0);
    assert_int_equal(device_result(device)->kind, JMP_NODE_MAP);
    assert_int_equal(device_result(device)->count, 0);
    unmount_volume("volume");
}

/* Two pins, and what was done with them. */
static char pins[128];

static int pin(const char *name)
{
    snprintf(pins + strlen(pins), sizeof(pins) - strlen(pins), "%s ", name);
    return 0;
}
static int bootsel_on(void *self, struct jmp_call *call)
{
    return pin("bootsel+");
}
static int bootsel_off(void *self, struct jmp_call *call)
{
    return pin("bootsel-");
}
static int run_on(void *self, struct jmp_call *call)
{
    return pin("run+");
}
static int run_off(void *self, struct jmp_call *call)
{
    return pin("run-");
}
static const struct jmp_method bootsel_methods[] = { { .name = "on", .call = bootsel_on },
                                                     { .name = "off", .call = bootsel_off },
                                                     {} };
static const struct jmp_method run_methods[] = { { .name = "on", .call = run_on },
                                                 { .name = "off", .call = run_off },
                                                 {} };
static const struct jmp_driver_class bootsel_class = { JMP_DRIVER_HEAD, .name = "bootsel", .kind = "gpio",
                                                       .client = "x", .methods = bootsel_methods };
static const struct jmp_driver_class run_class = { JMP_DRIVER_HEAD, .name = "run", .kind = "gpio", .client = "x",
                                                   .methods = run_methods };

JMP_TEST(the_boot_loader_is_entered_by_pins_in_the_right_order)
{
    _cleanup_(device_freep) struct device *bootsel = device_new(&bootsel_class, NULL);
    _cleanup_(device_freep) struct device *run = device_new(&run_class, NULL);
    _cleanup_(device_freep) struct device *device = device_new(&jmp_pico_class, "{\"bootloader_wait_seconds\":0.1,"
                                                                                "\"gpio_reset_hold_seconds\":0.001}");
    _cleanup_(device_freep) struct device *bare = device_new(&jmp_pico_class, NULL);
    uint8_t firmware[JMP_UF2_BLOCK];

    assert_int_equal(device_open(device), 0);
    device_give(device, "bootsel", bootsel);
    device_give(device, "run", run);
    pins[0] = '\0';
    assert_int_equal(device_call(device, "enter_bootloader", NULL), -EIO); /* nothing appears */
    assert_string_equal(pins, "bootsel+ run+ run- bootsel- ");
    assert_non_null(strstr(device_error(device), "did not appear within 0.1 s"));
    pins[0] = '\0';
    device_cancel(device);
    assert_int_equal(device_call(device, "enter_bootloader", NULL), -ECANCELED);
    assert_string_equal(pins, "bootsel+ run- bootsel- "); /* no button stays pressed */
    assert_int_equal(device_call(bare, "enter_bootloader", NULL), -EOPNOTSUPP);
    block(firmware, WITH_FAMILY, 0x10000000, 256, 0, 1, RP2040);
    assert_int_equal(flash(bare, firmware, sizeof(firmware), "[{}]"), -EIO);
    assert_non_null(strstr(device_error(bare), "children bootsel and run"));
}

/* A console that goes while it is touched, as it should, or was gone before. */
static int touched;
static int console_touch(void *self, struct jmp_call *call)
{
    return touched < 0 ? jmp_call_fail(call, touched, "the console") : touched++;
}
static const struct jmp_method console_methods[] = { { .name = "touch", .call = console_touch }, {} };
static const struct jmp_driver_class console_class = { JMP_DRIVER_HEAD, .name = "console", .kind = "serial",
                                                       .client = "x", .methods = console_methods };

JMP_TEST(a_console_that_goes_is_no_error_one_that_cannot_be_touched_is)
{
    static const struct {
        int touch, error;
        const char *words;
    } cases[] = {
        { 0, -EIO, "did not appear within 0.1 s" },
        { -ENODEV, -EIO, "did not appear within 0.1 s" },
        { -EACCES, -EACCES, "serial: the console" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(device_freep) struct device *console = device_new(&console_class, NULL);
        _cleanup_(device_freep) struct device *device =
            device_new(&jmp_pico_class, "{\"bootloader_wait_seconds\":0.1}");

        assert_int_equal(device_open(device), 0);
        device_give(device, "serial", console);
        touched = cases[i].touch;
        assert_int_equal(device_call(device, "enter_bootloader", NULL), cases[i].error);
        assert_non_null(strstr(device_error(device), cases[i].words));
    }
}
