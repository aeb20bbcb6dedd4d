/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hotplug.h"

#include <string.h>
#include <systemd/sd-device.h>

#include "base/log.h"

/* One plug brings a dozen events; the links that configurations name come with the last of them. */
#define HOTPLUG_GATHER (100 * JMP_USEC_PER_MSEC)

struct jmp_hotplug {
    struct jmp_devices *devices;
    struct jmp_loop *loop;
    sd_device_monitor *monitor;
    struct jmp_timer timer;
};

static void on_gathered(struct jmp_timer *timer)
{
    jmp_devices_retry(CONTAINER_OF(timer, struct jmp_hotplug, timer)->devices);
}

static int on_event(sd_device_monitor *monitor, sd_device *device, void *user)
{
    struct jmp_hotplug *hotplug = user;
    sd_device_action_t action;
    int r;

    if (sd_device_get_action(device, &action) < 0 || action == SD_DEVICE_REMOVE || hotplug->timer.running)
        return 0;
    r = jmp_timer_start(hotplug->loop, &hotplug->timer, HOTPLUG_GATHER, on_gathered);
    if (r < 0)
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = r), "a plugged device is not noticed: %m");
    return 0;
}

int jmp_hotplug_new(struct jmp_devices *devices, struct jmp_loop *loop, struct jmp_hotplug **ret)
{
    struct jmp_hotplug *hotplug = calloc(1, sizeof(*hotplug));
    int r;

    if (!hotplug)
        return -ENOMEM;
    hotplug->devices = devices;
    hotplug->loop = loop;
    r = sd_device_monitor_new(&hotplug->monitor);
    if (r >= 0)
        r = sd_device_monitor_attach_event(hotplug->monitor, jmp_loop_event(loop));
    if (r >= 0)
        r = sd_device_monitor_start(hotplug->monitor, on_event, hotplug);
    if (r < 0) {
        jmp_hotplug_free(hotplug);
        return r;
    }
    *ret = hotplug;
    return 0;
}

struct jmp_hotplug *jmp_hotplug_free(struct jmp_hotplug *hotplug)
{
    if (!hotplug)
        return NULL;
    if (hotplug->monitor) {
        sd_device_monitor_detach_event(hotplug->monitor);
        sd_device_monitor_unref(hotplug->monitor);
    }
    jmp_timer_close(&hotplug->timer);
    free(hotplug);
    return NULL;
}
