/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raspberry Pi Pico and other boards with an RP2040 or RP2350. A UF2 file gets there by the boot ROM's own protocol,
 * if we may use the USB device, which reads back what it wrote; else by the disk that it pretends to be, if something
 * has mounted that.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/mcu/picoboot.h"
#include "drivers/mcu/uf2.h"
#include "drivers/mcu/volume.h"
#include "drivers/touch.h"

#define LOOK_AGAIN (JMP_USEC_PER_SEC / 10)
#define LEAVE_LIMIT (5 * JMP_USEC_PER_SEC) /* for a board that was told to start half a second later */

struct pico {
    unsigned touch_baudrate;
    double wait, hold;
    const char *touch_port, *usb_port;
};

static const struct jmp_option pico_options[] = {
    { .key = "bootloader_touch_baudrate",
      JMP_FIELD_AS(struct pico, touch_baudrate),
      .preset = "1200",
      .min = 1200,
      .max = 1200,
      .help = "speed at which opening the port starts the boot loader; there is only this one" },
    { .key = "bootloader_wait_seconds",
      JMP_FIELD_AS(struct pico, wait),
      .preset = "5.0",
      .max = 600,
      .value_name = "SECONDS",
      .help = "how long the boot loader may take to appear" },
    { .key = "gpio_reset_hold_seconds",
      JMP_FIELD_AS(struct pico, hold),
      .preset = "0.1",
      .max = 60,
      .value_name = "SECONDS",
      .help = "how long a pin is held" },
    { JMP_FIELD(struct pico, touch_port), .nullable = true, .value_name = "PATH",
      .help = "the board's own serial port, to start its boot loader by opening it at bootloader_touch_baudrate" },
    { JMP_FIELD(struct pico, usb_port), .nullable = true, .value_name = "PATH",
      .help = "the USB port that the board is plugged into, such as 1-1.2, when there are several" },
    {}
};

static uint64_t in_seconds(double seconds)
{
    return jmp_now() + (uint64_t)(seconds * (double)JMP_USEC_PER_SEC);
}

static bool is_volume(const char *place, const void *user)
{
    return jmp_volume_has(place, "INFO_UF2.TXT") || jmp_volume_has(place, "INDEX.HTM");
}

/* Return: 1 with @list (to be freed) and @ret, 0: none is there, or with a sentence. */
static int find_usb(struct pico *pico, struct jmp_call *call, struct jmp_usb_list **retlist,
                    const struct jmp_usb_device **ret)
{
    int r;

    r = jmp_usb_list_read("", retlist);
    if (r < 0)
        return jmp_call_fail(call, r, "USB devices cannot be looked at: %m");
    *ret = NULL;
    for (size_t i = 0; i < (*retlist)->count; i++) {
        const struct jmp_usb_device *device = &(*retlist)->devices[i];

        if (!jmp_picoboot_is(device) || (pico->usb_port && strcmp(pico->usb_port, device->path) != 0))
            continue;
        if (*ret)
            return jmp_call_fail(call, -EINVAL, "boards wait in ports %s and %s: set \"usb_port\"", (*ret)->path,
                                 device->path);
        *ret = device;
    }
    return *ret != NULL;
}

/* Return: 1 with @place, 0: none is mounted, or with a sentence. */
static int find_volume(struct jmp_call *call, char place[PATH_MAX])
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r = jmp_volume_find("", is_volume, NULL, place, &error);

    if (r == -ENOENT)
        return 0;
    return r < 0 ? jmp_call_fail(call, r == -ENOTUNIQ ? -EINVAL : r, "%s", error.text) : 1;
}

/* Return: 1: the boot loader is there, by USB or as a volume; 0: it is not; or with a sentence. */
static int is_waiting(struct pico *pico, struct jmp_call *call)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;
    char place[PATH_MAX];
    int r;

    r = find_usb(pico, call, &list, &device);
    return r != 0 ? r : find_volume(call, place);
}

static int press(struct jmp_call *call, const char *child, const char *method, double seconds)
{
    int r;

    r = jmp_call_child(call, child, method);
    return r < 0 ? r : jmp_call_wait(call, -1, 0, in_seconds(seconds));
}

/* BOOTSEL held while the chip is reset. */
static int enter_by_pins(struct pico *pico, struct jmp_call *call)
{
    int r, back;

    r = press(call, "bootsel", "on", pico->hold);
    if (r == 0)
        r = press(call, "run", "on", pico->hold);
    if (r == 0)
        r = press(call, "run", "off", pico->hold / 2);
    /* Whatever happened: a button that stays pressed keeps the board from ever starting. */
    if (r < 0)
        jmp_call_child(call, "run", "off");
    back = jmp_call_child(call, "bootsel", "off");
    return r < 0 ? r : back;
}

/* Its firmware sees the port opened at a speed that means something. */
static int enter_by_touch(struct pico *pico, struct jmp_call *call)
{
    _cleanup_close_ int fd = open(pico->touch_port, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return jmp_call_fail(call, -errno, "%s cannot be opened: %m", pico->touch_port);
    return jmp_touch(call, fd, pico->touch_port);
}

/* The same by the driver that has the port open. That it is not there is no verdict: most likely it has just gone,
 * which was wanted, or was touched before and the boot loader is about to appear. */
static int enter_by_console(struct jmp_call *call)
{
    int r = jmp_call_child(call, "serial", "touch");

    if (r != -ECONNABORTED)
        return r;
    jmp_call_log(call, JMP_LOG_INFO, "the board's serial port is not there; waiting for its boot loader");
    return 0;
}

static int enter(struct pico *pico, struct jmp_call *call)
{
    uint64_t deadline;
    int r;

    r = is_waiting(pico, call);
    if (r != 0)
        return r < 0 ? r : 0;
    if (jmp_call_has_child(call, "bootsel", "on") && jmp_call_has_child(call, "run", "on"))
        r = enter_by_pins(pico, call);
    else if (pico->touch_port)
        r = enter_by_touch(pico, call);
    else if (jmp_call_has_child(call, "serial", "touch"))
        r = enter_by_console(call);
    else
        return jmp_call_fail(
            call, -EOPNOTSUPP,
            "the board is not in its boot loader, and nothing could take it there: it needs children bootsel and "
            "run, or a child serial, or the option touch_port");
    deadline = in_seconds(pico->wait);
    while (r == 0) {
        r = is_waiting(pico, call);
        if (r != 0)
            return r < 0 ? r : 0;
        if (jmp_now() >= deadline)
            return jmp_call_fail(call, -EIO, "the boot loader did not appear within %.3g s", pico->wait);
        r = jmp_call_wait(call, -1, 0, jmp_now() + LOOK_AGAIN);
    }
    return r;
}

static int pico_enter_bootloader(void *self, struct jmp_call *call)
{
    return enter(self, call);
}

static int pico_bootloader_info(void *self, struct jmp_call *call)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    struct jmp_writer *reply = jmp_call_reply(call);
    const struct jmp_usb_device *device;
    char place[PATH_MAX];
    int r;

    r = find_volume(call, place);
    if (r > 0) {
        jmp_writer_begin_map(reply);
        r = jmp_volume_info(place, "INFO_UF2.TXT", reply);
        jmp_writer_end_map(reply);
        if (r == -ENOENT) /* some have only INDEX.HTM, and say nothing of themselves */
            return 0;
        return r < 0 ? jmp_call_fail(call, r, "%s/INFO_UF2.TXT cannot be read: %m", place) : 0;
    }
    if (r == 0)
        r = find_usb(self, call, &list, &device);
    if (r < 0)
        return r;
    if (r == 0)
        return jmp_call_fail(call, -EIO, "the board is not in its boot loader");
    jmp_writer_begin_map(reply);
    jmp_writer_key(reply, "Model");
    jmp_writer_string(reply, device->product == 0x000f ? "Raspberry Pi RP2350" : "Raspberry Pi RP2");
    jmp_writer_key(reply, "Serial");
    jmp_writer_string(reply, device->serial);
    jmp_writer_key(reply, "Port");
    jmp_writer_string(reply, device->path);
    jmp_writer_end_map(reply);
    return 0;
}

/* The pages of one sector, as the file has them; the rest of it reads as erased. */
struct sector {
    uint32_t address; /* 0: none yet */
    uint8_t data[JMP_PICOBOOT_SECTOR];
};

static int write_sector(struct jmp_picoboot *boot, struct jmp_call *call, const struct sector *sector)
{
    uint8_t back[JMP_PICOBOOT_SECTOR];
    int r;

    if (sector->address == 0)
        return 0;
    r = jmp_call_wait(call, -1, 0, jmp_now());
    if (r < 0)
        return r; /* cancelled */
    r = jmp_picoboot_erase(boot, sector->address, JMP_PICOBOOT_SECTOR);
    if (r == 0)
        r = jmp_picoboot_write(boot, sector->address, sector->data, JMP_PICOBOOT_SECTOR);
    if (r == 0)
        r = jmp_picoboot_read(boot, sector->address, back, JMP_PICOBOOT_SECTOR);
    if (r < 0)
        return jmp_call_fail(call, r == -ENODEV ? -EIO : r, "the flash cannot be written at 0x%08x: %m",
                             sector->address);
    if (memcmp(back, sector->data, sizeof(back)) != 0)
        return jmp_call_fail(call, -EIO, "the flash does not hold what was written to 0x%08x", sector->address);
    return 0;
}

/* Absolute blocks are for the boot loader's disk: a page far behind any program, which works round an error of the
 * first RP2350. */
static bool is_program(const struct jmp_uf2_block *block)
{
    return block->family != 0xe48bff57u;
}

static int write_flash(struct jmp_picoboot *boot, struct jmp_call *call, const uint8_t *data, size_t size)
{
    _cleanup_free_ struct sector *sector = calloc(1, sizeof(*sector));
    struct jmp_uf2_block block;
    size_t pages = 0;
    int r = 0;

    if (!sector)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < size / JMP_UF2_BLOCK; i++) {
        uint32_t at;

        if (!jmp_uf2_block(data, i, &block) || !is_program(&block))
            continue;
        if (block.address < JMP_PICOBOOT_FLASH || block.address >= JMP_PICOBOOT_FLASH_END)
            return jmp_call_fail(call, -EBADMSG, "the UF2 file has bytes for 0x%08x, which is not in the flash",
                                 block.address);
        if (block.address % JMP_PICOBOOT_PAGE || block.size != JMP_PICOBOOT_PAGE)
            return jmp_call_fail(call, -EBADMSG, "the UF2 file is not for this chip: its blocks are no pages of flash");
        at = block.address / JMP_PICOBOOT_SECTOR * JMP_PICOBOOT_SECTOR;
        if (at != sector->address) {
            r = write_sector(boot, call, sector);
            memset(sector->data, 0xff, sizeof(sector->data));
            sector->address = at;
        }
        memcpy(sector->data + block.address % JMP_PICOBOOT_SECTOR, block.data, block.size);
        pages++;
    }
    if (r == 0)
        r = write_sector(boot, call, sector);
    if (r == 0)
        jmp_call_log(call, JMP_LOG_INFO, "%zu pages written to the flash and read back", pages);
    return r;
}

/* Until the boot loader is not there any more: the only sign that the board has obeyed. */
static int wait_left(const struct jmp_usb_device *device, struct jmp_call *call)
{
    uint64_t deadline = jmp_now() + LEAVE_LIMIT;
    int r = 0;

    while (r == 0) {
        _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
        const struct jmp_usb_device *now;

        r = jmp_usb_list_read("", &list);
        if (r < 0)
            return jmp_call_fail(call, r, "USB devices cannot be looked at: %m");
        now = jmp_usb_at(list, device->path);
        if (!now || now->address != device->address || !jmp_picoboot_is(now))
            return 0;
        if (jmp_now() >= deadline)
            return jmp_call_fail(
                call, -EIO,
                "the flash is written, but the board in port %s is still in its boot loader %u s after "
                "it was told to start",
                device->path, (unsigned)(LEAVE_LIMIT / JMP_USEC_PER_SEC));
        r = jmp_call_wait(call, -1, 0, jmp_now() + LOOK_AGAIN);
    }
    return r;
}

static int flash_by_usb(const struct jmp_usb_device *device, struct jmp_call *call, const uint8_t *data, size_t size)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_picoboot boot;
    int r;

    r = jmp_picoboot_open(device, &boot, &error);
    if (r < 0)
        return jmp_call_fail(call, r == -ENODEV ? -EIO : r, "%s%s%s", error.text, *error.hint ? "; " : "", error.hint);
    r = write_flash(&boot, call, data, size);
    if (r == 0) {
        r = jmp_picoboot_reboot(&boot);
        if (r < 0)
            jmp_call_fail(call, r == -ENODEV ? -EIO : r, "the board cannot be started again: %m");
    }
    jmp_picoboot_close(&boot);
    if (r == 0)
        r = wait_left(device, call);
    return r == -ENODEV ? -EIO : r;
}

static int flash_by_volume(struct jmp_call *call, const char *place, const uint8_t *data, size_t size)
{
    const char *name = jmp_call_string(call, "target") ?: "";
    const char *end = strrchr(name, '.');
    char file[128];

    snprintf(file, sizeof(file), "%.100s%s", *name ? name : "Firmware",
             end && strcasecmp(end, ".uf2") == 0 ? "" : ".uf2");
    return jmp_volume_write(call, place, file, data, size, true);
}

static int pico_flash(void *self, struct jmp_call *call)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ uint8_t *data = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const char *name = jmp_call_string(call, "target");
    const struct jmp_usb_device *device;
    char place[PATH_MAX];
    size_t size;
    int r;

    if (name && (strchr(name, '/') || name[0] == '.' || strlen(name) > 100))
        return jmp_call_fail(call, -EINVAL, "\"%.100s\" will not do as the name of a file", name);
    r = jmp_volume_receive(call, "source", JMP_UF2_MAX, &data, &size);
    if (r < 0)
        return r;
    if (jmp_uf2_check(data, size, &error) < 0)
        return jmp_call_fail(call, error.error, "%s", error.text);
    r = enter(self, call);
    if (r < 0) /* there is a flash(), only not for this board now */
        return r == -EOPNOTSUPP ? -EIO : r;
    r = find_usb(self, call, &list, &device);
    if (r > 0)
        return flash_by_usb(device, call, data, size);
    if (r == 0)
        r = find_volume(call, place);
    if (r == 0)
        return jmp_call_fail(call, -EIO, "the boot loader has gone");
    return r < 0 ? r : flash_by_volume(call, place, data, size);
}

static int pico_dump(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "a Pico's flash cannot be read out");
}

static const struct jmp_method pico_methods[] = {
    { .name = "enter_bootloader", .call = pico_enter_bootloader },
    { .name = "bootloader_info", .call = pico_bootloader_info },
    { .name = "flash", .args = { { "source", JMP_NODE }, { "target", JMP_STRING, true } }, .call = pico_flash },
    { .name = "dump", .args = { { "sink", JMP_NODE }, { "partition", JMP_STRING, true } }, .call = pico_dump },
    {}
};

const struct jmp_driver_class jmp_pico_class = {
    JMP_DRIVER_HEAD,
    .name = "pi-pico",
    .kind = "storage",
    .size = sizeof(struct pico),
    .python_type = "jumpstarter_driver_pi_pico.driver.PiPicoFlasher",
    .client = "jumpstarter_driver_pi_pico.client.PiPicoClient",
    .help = "programs a Raspberry Pi Pico through its boot ROM",
    .options = pico_options,
    .methods = pico_methods,
};
