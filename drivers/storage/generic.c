/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage that needs no hardware of its own kind. A mux of any two-state device and a block device: a GPIO line that
 * drives the select pin of an SD mux, a relay that moves a USB stick. And a disk that is always at the host, such as
 * what a board's boot loader offers over USB.
 */
#include <string.h>

#include "drivers/families.h"
#include "drivers/storage/mux.h"

#define SWITCH "switch"

struct storage_mux {
    struct jmp_mux mux;
    const char *host_when;
};

static const char *const states[] = { "on", "off", NULL };

static const struct jmp_option storage_mux_options[] = {
    JMP_DISK_DEVICE_OPTION(struct storage_mux, mux.disk, true),
    { JMP_FIELD(struct storage_mux, host_when), .preset = "on", .words = states,
      .help = "state of the child \"switch\" in which the medium is at the host; in the other one it is at the board" },
    JMP_DISK_OPTIONS(struct storage_mux, mux.disk),
    {}
};

static int generic_select(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    struct storage_mux *mux = self;
    bool host = position != JMP_MUX_DUT; /* off: nowhere else than here could it be */

    return jmp_call_child(call, SWITCH, host == (strcmp(mux->host_when, "on") == 0) ? "on" : "off");
}

static int storage_mux_open(void *self, struct jmp_call *call)
{
    struct storage_mux *mux = self;
    int r;

    r = jmp_mux_open(&mux->mux, call);
    if (r < 0)
        return r;
    mux->mux.select = generic_select;
    if (jmp_call_has_child(call, SWITCH, "on") && jmp_call_has_child(call, SWITCH, "off"))
        return 0;
    return jmp_call_fail(
        call, -EINVAL, "it needs a child called \"" SWITCH "\" with methods on and off, by children or a ref in them");
}

const struct jmp_driver_class jmp_storage_mux_class = {
    JMP_DRIVER_HEAD,
    .name = "storage-mux",
    .kind = "storage",
    .size = sizeof(struct storage_mux),
    .client = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
    .help = "a storage multiplexer made of any switch and a block device",
    .options = storage_mux_options,
    .methods = jmp_mux_methods,
    .open = storage_mux_open,
    .reset = jmp_mux_reset,
    .close = jmp_mux_close,
};

struct disk_flasher {
    struct jmp_disk disk;
    bool busy;
};

static const struct jmp_option disk_flasher_options[] = { JMP_DISK_DEVICE_OPTION(struct disk_flasher, disk, true),
                                                          JMP_DISK_OPTIONS(struct disk_flasher, disk),
                                                          {} };

static int disk_flasher_reset(void *self, struct jmp_call *call)
{
    struct disk_flasher *flasher = self;

    jmp_disk_forget(&flasher->disk);
    return 0;
}

static void disk_flasher_close(void *self)
{
    struct disk_flasher *flasher = self;

    jmp_disk_forget(&flasher->disk);
}

static int disk_transfer(struct disk_flasher *flasher, struct jmp_call *call, bool write)
{
    const char *part = jmp_call_string(call, write ? "target" : "partition");
    int r;

    /* Which of them a file is, it says itself. */
    if (part && strcmp(part, "image") != 0 && strcmp(part, "bmap") != 0)
        return jmp_call_fail(call, -EINVAL, "there is no part \"%s\": an image is for the whole disk", part);
    if (flasher->busy)
        return jmp_call_fail(call, -EBUSY, "an image is being transferred; wait for its end, or cancel it");
    flasher->busy = true;
    r = write ? jmp_disk_write(&flasher->disk, call, flasher->disk.device, "source")
              : jmp_disk_read(&flasher->disk, call, flasher->disk.device, "sink");
    flasher->busy = false;
    return r;
}

static int disk_flash(void *self, struct jmp_call *call)
{
    return disk_transfer(self, call, true);
}
static int disk_dump(void *self, struct jmp_call *call)
{
    return disk_transfer(self, call, false);
}

static const struct jmp_method disk_flasher_methods[] = {
    { .name = "flash", .args = { { "source", JMP_NODE }, { "target", JMP_STRING, true } }, .call = disk_flash },
    { .name = "dump", .args = { { "sink", JMP_NODE }, { "partition", JMP_STRING, true } }, .call = disk_dump },
    {}
};

const struct jmp_driver_class jmp_disk_flasher_class = {
    JMP_DRIVER_HEAD,
    .name = "disk-flasher",
    .kind = "storage",
    .size = sizeof(struct disk_flasher),
    .client = "jumpstarter_driver_opendal.client.FlasherClient",
    .help = "writes and reads a block device that is always at the host",
    .options = disk_flasher_options,
    .methods = disk_flasher_methods,
    .reset = disk_flasher_reset,
    .close = disk_flasher_close,
};
