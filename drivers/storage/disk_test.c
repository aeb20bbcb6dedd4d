/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/storage/guard.h"

#define MIB (1024u * 1024u)

/* A medium: a file, and where that can be had a loop device on it. */
struct medium {
    char path[64], loop[32];
    int fd, loop_fd;
};

static void medium_free(struct medium *medium)
{
    if (medium->loop_fd >= 0)
        ioctl(medium->loop_fd, LOOP_CLR_FD, 0);
    jmp_close(medium->loop_fd);
    jmp_close(medium->fd);
    unlink(medium->path);
}

static void medium_new(struct medium *medium, size_t size)
{
    *medium = (struct medium){ .path = "/var/tmp/jmp-disk-XXXXXX", .loop_fd = -EBADF };
    medium->fd = mkstemp(medium->path);
    assert_true(medium->fd >= 0);
    assert_int_equal(ftruncate(medium->fd, (off_t)size), 0);
}

/* Return: whether there is one; that needs root. */
static bool medium_loop(struct medium *medium)
{
    _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = { .fd = (uint32_t)medium->fd };

    for (unsigned i = 0; control >= 0 && i < 10; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            return false;
        snprintf(medium->loop, sizeof(medium->loop), "/dev/loop%d", number);
        medium->loop_fd = open(medium->loop, O_RDWR | O_CLOEXEC);
        if (medium->loop_fd < 0)
            return false;
        if (ioctl(medium->loop_fd, LOOP_CONFIGURE, &config) == 0)
            return true;
        medium->loop_fd = jmp_close(medium->loop_fd); /* another was faster */
    }
    return false;
}

static uint8_t *pattern(size_t size)
{
    uint8_t *data = malloc(size + 1);
    uint32_t state = 4711;

    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (uint8_t)(state >> 24);
    }
    return data;
}

static int lend(struct device *device, const void *data, size_t size)
{
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    fd_write_all(fd, data, size);
    lseek(fd, 0, SEEK_SET);
    device_lend(device, fd);
    return fd;
}

static int flash(struct device *device, const void *data, size_t size)
{
    _cleanup_close_ int fd = lend(device, data, size);

    return device_call(device, "flash", "[{}]");
}

static struct device *flasher_new(const char *path, const char *more)
{
    char config[256];
    struct device *device;

    snprintf(config, sizeof(config), "{\"storage_device\":\"%s\",\"storage_timeout\":0.3%s}", path, more);
    device = device_new(&jmp_disk_flasher_class, config);
    assert_int_equal(device_open(device), 0);
    return device;
}

static void expect(int fd, size_t offset, const void *data, size_t size)
{
    _cleanup_free_ uint8_t *found = malloc(size + 1);

    assert_non_null(found);
    assert_int_equal(pread(fd, found, size, (off_t)offset), size);
    assert_memory_equal(found, data, size);
}

static void check_written(const char *path, int behind)
{
    static const size_t sizes[] = { 1, 512, 4096, 2 * MIB, 2 * MIB + 1, 5 * MIB + 777 };
    _cleanup_free_ uint8_t *data = pattern(8 * MIB), *back = malloc(8 * MIB);

    memset(data + 2 * MIB, 0, 2 * MIB); /* a hole */
    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        _cleanup_(device_freep) struct device *device = flasher_new(path, ",\"verify\":true");
        _cleanup_close_ int to = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (flash(device, data, sizes[i]) < 0)
            fail_msg("%zu bytes: %s", sizes[i], device_error(device));
        assert_non_null(strstr(device_log(device), "read back and compared"));
        device_lend(device, to);
        if (device_call(device, "dump", "[{}]") < 0)
            fail_msg("%s", device_error(device));
        assert_int_equal(pread(to, back, 8 * MIB, 0), 8 * MIB);
        assert_memory_equal(back, data, sizes[i]);
        if (behind >= 0)
            expect(behind, 0, data, sizes[i]);
    }
}

JMP_TEST(an_image_gets_onto_a_file_and_back)
{
    _cleanup_(medium_free) struct medium medium;

    medium_new(&medium, 8 * MIB);
    check_written(medium.path, medium.fd);
}

JMP_TEST(an_image_gets_onto_a_block_device_and_back)
{
    _cleanup_(medium_free) struct medium medium;

    medium_new(&medium, 8 * MIB);
    if (!medium_loop(&medium))
        skip();
    check_written(medium.loop, -1);
}

JMP_TEST(a_block_device_that_is_mounted_or_claimed_is_refused)
{
    _cleanup_(medium_free) struct medium medium;
    _cleanup_close_ int claim = -EBADF;

    medium_new(&medium, 8 * MIB);
    if (!medium_loop(&medium))
        skip();
    claim = open(medium.loop, O_RDWR | O_EXCL | O_CLOEXEC);
    assert_true(claim >= 0);
    {
        _cleanup_(device_freep) struct device *device = flasher_new(medium.loop, "");

        assert_int_equal(flash(device, "x", 1), -EBUSY);
        assert_non_null(strstr(device_error(device), "another program has it"));
    }
}

JMP_TEST(what_was_there_stays_where_the_image_says_nothing)
{
    static const char map[] =
        "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\"><ImageSize>16384</ImageSize><BlockSize>4096</BlockSize>"
        "<BlocksCount>4</BlocksCount><Range>1</Range><Range>3</Range></bmap>";
    _cleanup_free_ uint8_t *before = pattern(MIB), *image = malloc(MIB);
    _cleanup_(medium_free) struct medium medium;
    _cleanup_(device_freep) struct device *device = NULL;

    medium_new(&medium, MIB);
    memset(image, 'i', MIB);
    device = flasher_new(medium.path, ",\"verify\":true");
    assert_int_equal(flash(device, before, MIB), 0);
    assert_int_equal(flash(device, map, sizeof(map) - 1), 0);
    assert_int_equal(flash(device, image, 16384), 0);
    expect(medium.fd, 0, before, 4096);
    expect(medium.fd, 4096, image, 4096);
    expect(medium.fd, 8192, before + 8192, 4096);
    expect(medium.fd, 12288, image, 4096);
    expect(medium.fd, 16384, before + 16384, MIB - 16384);
    /* The map was for that image. */
    assert_int_equal(flash(device, image, 16384), 0);
    expect(medium.fd, 0, image, 16384);
    /* Nor does it outlive a wrong one. */
    assert_int_equal(flash(device, map, sizeof(map) - 1), 0);
    assert_int_equal(flash(device, image, 16385), -EBADMSG);
    assert_int_equal(flash(device, image, 16385), 0);
}

JMP_TEST(what_cannot_be_flashed_is_said_so)
{
    static const struct {
        const char *data;
        size_t size;
        int error;
        const char *words;
    } cases[] = {
        { "", 0, -EBADMSG, "the image is empty" },
        { "\x1f\x8b\x08 and so on", 14, -EINVAL, "--compression gzip" },
        { "\xfd\x37zXZ\0 and so on", 16, -EINVAL, "--compression xz" },
        { "\x3a\xff\x26\xed", 4, -EBADMSG, "ends too early" },
        { "<?xml version=\"1.0\" ?><bmap>", 28, -EBADMSG, "cannot be read" },
    };
    _cleanup_free_ uint8_t *data = pattern(MIB + 1);
    _cleanup_(medium_free) struct medium medium;
    _cleanup_(device_freep) struct device *device = NULL;

    medium_new(&medium, MIB);
    device = flasher_new(medium.path, "");
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(flash(device, cases[i].data, cases[i].size), cases[i].error);
        assert_non_null(strstr(device_error(device), cases[i].words));
    }
    assert_int_equal(flash(device, data, MIB + 1), -ENOSPC);
    assert_non_null(strstr(device_error(device), "1048576 bytes"));
    assert_int_equal(device_call(device, "flash", "[{}, \"boot\"]"), -EINVAL);
}

JMP_TEST(an_image_that_is_known_to_be_too_large_leaves_the_medium_alone)
{
    static const struct {
        unsigned size; /* as the client says */
        const char *image;
        int r;
    } cases[] = {
        { MIB + 1, "a plain one", -ENOSPC },
        { MIB, "a plain one", 0 },
        { MIB + 1, "\x3a\xff\x26\xed and so on", -EBADMSG }, /* Android's is unfolded: it is judged by what it says */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(medium_free) struct medium medium;
        _cleanup_(device_freep) struct device *device = NULL;
        _cleanup_close_ int fd = -EBADF;
        char args[64];

        medium_new(&medium, MIB);
        assert_int_equal(pwrite(medium.fd, "what was there", 14, 0), 14);
        device = flasher_new(medium.path, "");
        fd = lend(device, cases[i].image, strlen(cases[i].image));
        snprintf(args, sizeof(args), "[{\"x_jmp_content_length\":%u}]", cases[i].size);
        if (device_call(device, "flash", args) != cases[i].r)
            fail_msg("row %zu: %s", i, device_error(device));
        expect(medium.fd, 0, cases[i].r < 0 ? "what was there" : "a plain oneere", 14);
    }
}

JMP_TEST(a_medium_that_is_not_there_is_waited_for)
{
    _cleanup_(device_freep) struct device *missing = flasher_new("/var/tmp/no/such/medium", "");
    _cleanup_(device_freep) struct device *odd = flasher_new("/dev/null", "");
    _cleanup_(medium_free) struct medium medium;
    _cleanup_(device_freep) struct device *empty = NULL;

    assert_int_equal(flash(missing, "x", 1), -ETIMEDOUT);
    assert_non_null(strstr(device_error(missing), "no medium in /var/tmp/no/such/medium after 0.3 s"));
    assert_int_equal(flash(odd, "x", 1), -EINVAL);
    medium_new(&medium, 0);
    empty = flasher_new(medium.path, "");
    assert_int_equal(flash(empty, "x", 1), -ETIMEDOUT);
    assert_non_null(strstr(device_error(empty), "it is empty"));
}

JMP_TEST(cancelling_a_flash_ends_it)
{
    _cleanup_(medium_free) struct medium medium;
    _cleanup_(device_freep) struct device *device = NULL;
    int pair[2];

    medium_new(&medium, 8 * MIB);
    device = flasher_new(medium.path, "");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(write(pair[0], "beginning", 9), 9);
    device_lend(device, pair[1]);
    device_cancel(device);
    assert_int_equal(device_call(device, "flash", "[{}]"), -ECANCELED);
    close(pair[0]);
    close(pair[1]);
}

/* A mux: any switch, and the device */

struct two_state {
    bool broken;
};
static char states[64];

static int two_state(void *self, struct jmp_call *call, const char *state)
{
    strncat(states, state, sizeof(states) - strlen(states) - 1);
    return ((struct two_state *)self)->broken ? jmp_call_fail(call, -EIO, "stuck") : 0;
}
static int two_state_on(void *self, struct jmp_call *call)
{
    return two_state(self, call, "on ");
}
static int two_state_off(void *self, struct jmp_call *call)
{
    return two_state(self, call, "off ");
}

static const struct jmp_option two_state_options[] = { { JMP_FIELD(struct two_state, broken), .preset = "false" }, {} };
static const struct jmp_method two_state_methods[] = { { .name = "on", .call = two_state_on },
                                                       { .name = "off", .call = two_state_off },
                                                       {} };
static const struct jmp_driver_class two_state_class = {
    JMP_DRIVER_HEAD,
    .name = "two-state",
    .kind = "power",
    .client = "x",
    .size = sizeof(struct two_state),
    .options = two_state_options,
    .methods = two_state_methods,
};

static struct device *mux_new(const char *path, const char *more, struct device *with)
{
    char config[256];
    struct device *device;

    snprintf(config, sizeof(config), "{\"storage_device\":\"%s\",\"storage_timeout\":0.1%s}", path, more);
    device = device_new(&jmp_storage_mux_class, config);
    device_give(device, "switch", with);
    assert_int_equal(device_open(device), 0);
    states[0] = '\0';
    return device;
}

JMP_TEST(a_mux_switches_writes_and_goes_back)
{
    static const struct {
        const char *more, *calls[4]; /* "!" in front: has to fail */
        bool medium, client;         /* is there; has not gone */
        const char *states;
        bool cut; /* the image ends too early */
    } cases[] = {
        { "", { "host", "dut", "off" }, true, true, "on off on " },
        { ",\"host_when\":\"off\"", { "host", "dut", "off" }, true, true, "off on off " },
        { "", { "dut", "write" }, true, true, "off on " }, /* as with every mux, the client says where it goes next */
        { "", { "host", "write", "dut" }, true, true, "on on off " }, /* it may have been moved meanwhile */
        { "", { "dut", "!write" }, false, true, "off on off " }, /* it failed: where it was */
        { "", { "dut", "!write" }, true, true, "off on off ", .cut = true },
        { "", { "dut", "host", "!write" }, false, true, "off on on " },     /* it failed at the host */
        { "", { "dut", "host", "!write" }, true, false, "off on on off " }, /* nobody is there to say dut */
        { "", { "dut", "host", "!write" }, true, true, "off on on off ", .cut = true }, /* nor will be in a moment */
        { "", { "!write" }, true, false, "on " },                        /* nobody knows where it was */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(medium_free) struct medium medium;
        _cleanup_(device_freep) struct device *with = device_new(&two_state_class, NULL);
        _cleanup_(device_freep) struct device *mux = NULL;

        medium_new(&medium, MIB);
        mux = mux_new(cases[i].medium ? medium.path : "/nowhere", cases[i].more, with);
        for (size_t j = 0; j < ELEMENTSOF(cases[i].calls) && cases[i].calls[j]; j++) {
            bool fails = cases[i].calls[j][0] == '!', write = strstr(cases[i].calls[j], "write");
            _cleanup_close_ int fd = write ? lend(mux, "image", 5) : -EBADF;
            int r;

            if (write && !cases[i].client)
                device_cancel(mux);
            if (write && cases[i].cut)
                device_lend_cut(mux, fd);
            r = device_call(mux, cases[i].calls[j] + fails, write ? "[{}]" : NULL);
            if (fails != (r < 0))
                fail_msg("row %zu, %s: %d %s", i, cases[i].calls[j], r, device_error(mux));
        }
        if (strcmp(states, cases[i].states) != 0)
            fail_msg("row %zu: %s", i, states);
    }
}

JMP_TEST(a_switch_that_is_stuck_is_an_error)
{
    _cleanup_(device_freep) struct device *with = device_new(&two_state_class, "{\"broken\":true}");
    _cleanup_(device_freep) struct device *mux = mux_new("/nowhere", "", with);
    _cleanup_(device_freep) struct device *alone =
        device_new(&jmp_storage_mux_class, "{\"storage_device\":\"/nowhere\"}");
    _cleanup_close_ int fd = lend(mux, "image", 5);

    assert_int_equal(device_call(mux, "write", "[{}]"), -EIO);
    assert_string_equal(device_error(mux), "switch: stuck");
    assert_int_equal(device_open(alone), -EINVAL);
}

/* Whose disk is it? A machine in a directory. */

struct machine {
    char root[64];
};

static void machine_file(struct machine *machine, const char *path, const char *text)
{
    char full[512], *slash = full + strlen(machine->root) + 1;
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", machine->root, path);
    slash = full + strlen(machine->root) + 1;
    while ((slash = strchr(slash, '/'))) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash++ = '/';
    }
    file = fopen(full, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void machine_link(struct machine *machine, const char *path, const char *to)
{
    char full[512], target[512];

    machine_file(machine, path, "");
    snprintf(full, sizeof(full), "%s/%s", machine->root, path);
    snprintf(target, sizeof(target), "%s/%s", machine->root, to);
    unlink(full);
    assert_int_equal(symlink(target, full), 0);
}

static void machine_free(struct machine *machine)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", machine->root);
    assert_int_equal(system(command), 0);
}

/* vda: the system's, with root on vda1 and a free vda2; sda: a stick with sda1; sdb: under LVM; nvme0n1: /boot, over
 * btrfs-like 0:30 */
static void machine_new(struct machine *machine, const char *mounts)
{
    static const struct {
        const char *name, *id, *parent;
    } disks[] = { { "vda", "254:0", NULL },  { "vda1", "254:1", "vda" }, { "vda2", "254:2", "vda" },
                  { "sda", "8:0", NULL },    { "sda1", "8:1", "sda" },   { "sdb", "8:16", NULL },
                  { "sdb1", "8:17", "sdb" }, { "dm-0", "253:0", NULL } };
    char path[512], to[256];

    snprintf(machine->root, sizeof(machine->root), "/tmp/jmp-guard-XXXXXX");
    assert_non_null(mkdtemp(machine->root));
    for (size_t i = 0; i < ELEMENTSOF(disks); i++) {
        const char *where = strcmp(disks[i].name, "dm-0") == 0 ? "virtual" : "pci";

        snprintf(to, sizeof(to), "sys/devices/%s/block/%s%s%s", where,
                 disks[i].parent ? disks[i].parent : disks[i].name, disks[i].parent ? "/" : "",
                 disks[i].parent ? disks[i].name : "");
        snprintf(path, sizeof(path), "%s/dev", to);
        machine_file(machine, path, disks[i].id);
        if (disks[i].parent) {
            snprintf(path, sizeof(path), "%s/partition", to);
            machine_file(machine, path, "1");
        }
        snprintf(path, sizeof(path), "sys/dev/block/%s", disks[i].id);
        machine_link(machine, path, to);
    }
    machine_link(machine, "sys/devices/pci/block/sdb/sdb1/holders/dm-0", "sys/devices/virtual/block/dm-0");
    machine_link(machine, "sys/devices/virtual/block/dm-0/slaves/sdb1", "sys/devices/pci/block/sdb/sdb1");
    machine_file(machine, "proc/self/mountinfo", mounts);
}

JMP_TEST(nothing_of_this_machine_is_overwritten)
{
#define ROOT "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n23 22 0:5 / /proc rw shared:2 - proc proc rw\n"
    static const struct {
        const char *mounts;
        unsigned major, minor;
        int error;
        const char *words;
    } cases[] = {
        { ROOT, 8, 0, 0, NULL },
        { ROOT, 8, 1, 0, NULL },
        { ROOT, 254, 0, -EPERM, "runs from" },
        { ROOT, 254, 1, -EPERM, "runs from" },
        { ROOT, 254, 2, -EPERM, "runs from" },
        { ROOT, 8, 16, -EBUSY, "dm-0 stands on it" },
        { ROOT, 8, 17, -EBUSY, "dm-0 stands on it" },
        { ROOT "24 22 8:1 / /media/stick rw - vfat /dev/sda1 rw\n", 8, 0, -EBUSY, "mounted on /media/stick" },
        { ROOT "24 22 8:1 / /media/stick rw - vfat /dev/sda1 rw\n", 8, 1, -EBUSY, "mounted on /media/stick" },
        { ROOT "24 22 8:0 / /media/stick rw - vfat /dev/sda rw\n", 8, 1, -EBUSY, "mounted on /media/stick" },
        { ROOT "24 22 253:0 / /srv rw - ext4 /dev/dm-0 rw\n", 8, 16, -EBUSY, "mounted on /srv" },
        { ROOT "24 22 253:0 / /home rw - ext4 /dev/dm-0 rw\n", 8, 16, -EPERM, "runs from" },
        { "broken line\n\n1 - \n" ROOT, 8, 0, 0, NULL },
        { ROOT, 7, 7, -ENOENT, "does not know" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct machine machine;
        struct jmp_error error = JMP_ERROR_INIT;
        int r;

        machine_new(&machine, cases[i].mounts);
        r = jmp_guard_check(machine.root, makedev(cases[i].major, cases[i].minor), &error);
        if (r != cases[i].error || (cases[i].words && !strstr(error.text, cases[i].words)))
            fail_msg("row %zu: %d %s", i, r, error.text);
        machine_free(&machine);
    }
}

/* The real one, too: whatever / lies on here. */
JMP_TEST(the_disk_of_this_very_machine_is_refused)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct stat info;
    char path[64];

    assert_int_equal(stat("/", &info), 0);
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(info.st_dev), minor(info.st_dev));
    if (access(path, F_OK) < 0)
        skip();
    assert_int_equal(jmp_guard_check("", info.st_dev, &error), -EPERM);
}
