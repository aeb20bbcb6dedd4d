/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thermometer of the kernel as a plug-in: the whole driver, as somebody would write it who has only the installed
 * headers. docs/writing-a-driver.md walks through it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/driver.h"

struct thermometer {
    const char *path;
    double scale, interval;
};

static const struct jmp_option thermometer_options[] = {
    { JMP_FIELD(struct thermometer, path), .preset = "/sys/class/thermal/thermal_zone0/temp",
      .help = "the file to read" },
    { JMP_FIELD(struct thermometer, scale), .preset = "0.001", .help = "degrees Celsius for each unit in the file" },
    { JMP_FIELD(struct thermometer, interval), .preset = "1", .min = 0.01, .max = 3600,
      .help = "seconds between watched values" },
    {}
};

static int thermometer_measure(const struct thermometer *thermometer, struct jmp_call *call, double *ret)
{
    _cleanup_fclose_ FILE *file = fopen(thermometer->path, "re");
    double value;

    if (!file && errno == ENOENT)
        return jmp_call_fail(call, -ENODEV, "there is no %s", thermometer->path);
    if (!file)
        return jmp_call_fail(call, -errno, "%s cannot be opened: %m", thermometer->path);
    if (fscanf(file, "%lf", &value) != 1)
        return jmp_call_fail(call, -EIO, "%s holds no number", thermometer->path);

    *ret = value * thermometer->scale;
    return 0;
}

static int thermometer_open(void *self, struct jmp_call *call)
{
    double value;

    return thermometer_measure(self, call, &value);
}

static int thermometer_read(void *self, struct jmp_call *call)
{
    double value;
    int r;

    r = thermometer_measure(self, call, &value);
    if (r < 0)
        return r;

    jmp_writer_number(jmp_call_reply(call), value);
    return 0;
}

static int thermometer_watch(void *self, struct jmp_call *call)
{
    struct thermometer *thermometer = self;
    uint64_t next = jmp_now();
    double value;
    int r;

    for (;;) {
        r = thermometer_measure(thermometer, call, &value);
        if (r < 0)
            return r;
        jmp_writer_number(jmp_call_reply(call), value);
        r = jmp_call_emit(call);
        if (r < 0)
            return r;

        next += (uint64_t)(thermometer->interval * 1e6);
        r = jmp_call_wait(call, -1, 0, next);
        if (r < 0)
            return r;
    }
}

static const struct jmp_method thermometer_methods[] = {
    { .name = "read", .call = thermometer_read, .help = "degrees Celsius now" },
    { .name = "watch", .items = thermometer_watch, .help = "degrees Celsius, again and again" },
    {}
};

static const struct jmp_driver_class thermometer_class = {
    JMP_DRIVER_HEAD, .name = "thermometer", .kind = "other", .size = sizeof(struct thermometer),
    .client = "jumpstarter.client.DriverClient", .help = "a temperature that the kernel knows",
    .options = thermometer_options, .methods = thermometer_methods, .open = thermometer_open,
};

JMP_PLUGIN(&thermometer_class);
