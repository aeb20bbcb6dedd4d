/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole images onto a medium and back: a block device, or a file that stands for one. What is said by an image
 * (image.h) is written by a thread (io.h) to a device that is ours to write (guard.h).
 */
#pragma once

#include "drivers/driver.h"
#include "drivers/storage/bmap.h"

/* What a driver that flashes embeds in its self; JMP_DISK_OPTIONS are its rows. */
struct jmp_disk {
    const char *device; /* path of the block device or file; NULL: the driver finds it */
    double timeout, leeway, fsync_timeout;
    bool verify;
    struct jmp_bmap *map; /* came as an image of its own, for the next one */
};

#define JMP_DISK_OPTIONS(s, m) \
    { .key = "storage_timeout", \
      JMP_FIELD_AS(s, m.timeout), \
      .preset = "10", \
      .max = 3600, \
      .value_name = "SECONDS", \
      .help = "how long to wait for the medium after it was connected" }, \
        { .key = "storage_leeway", \
          JMP_FIELD_AS(s, m.leeway), \
          .preset = "0", \
          .max = 3600, \
          .value_name = "SECONDS", \
          .help = "how long to leave the medium alone after it was written" }, \
        { .key = "storage_fsync_timeout", \
          JMP_FIELD_AS(s, m.fsync_timeout), \
          .preset = "900", \
          .max = 86400, \
          .value_name = "SECONDS", \
          .help = "how long the medium may take to finish writing" }, \
    { \
        .key = "verify", JMP_FIELD_AS(s, m.verify), .preset = "false", \
        .help = "read back what was written, and compare" \
    }

#define JMP_DISK_DEVICE_OPTION(s, m, must) \
    { \
        .key = "storage_device", JMP_FIELD_AS(s, m.device), .required = (must), .nullable = !(must), \
        .value_name = "PATH", .help = "the block device that the medium becomes; name it by /dev/disk/by-path/" \
    }

/**
 * jmp_disk_write() - the image of argument @arg becomes the content of @path
 *
 * Waits for the medium; refuses a device that the machine uses. Plain and Android sparse images; a block map is kept
 * for the next image. Progress, rate and SHA-256 go to the log.
 *
 * Return: 0, or with a sentence: -ETIMEDOUT (no medium, nothing moved), -EBUSY, -EPERM (not ours), -ENOSPC (too
 * small), -EINVAL (compressed, and nobody said so), -EBADMSG (damaged image), -EIO and others of the device,
 * -ECANCELED.
 */
int jmp_disk_write(struct jmp_disk *disk, struct jmp_call *call, const char *path, const char *arg);
/** jmp_disk_read() - all of @path goes where argument @arg says */
int jmp_disk_read(struct jmp_disk *disk, struct jmp_call *call, const char *path, const char *arg);
void jmp_disk_forget(struct jmp_disk *disk); /* a block map that no image came for */
