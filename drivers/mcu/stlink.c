/* SPDX-License-Identifier: Apache-2.0 */
/* The disk that an ST-LINK pretends to be: a binary or hex file that is copied there is programmed into the board's
 * chip. */
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "drivers/families.h"
#include "drivers/mcu/volume.h"

#define FIRMWARE_MAX (16u * 1024 * 1024)
#define DEFAULT_NAME "firmware.bin"

struct stlink {
    const char *volume_name;
};

static const struct jmp_option stlink_options[] = {
    { JMP_FIELD(struct stlink, volume_name), .nullable = true, .value_name = "NAME",
      .help = "of the volume, when several are mounted: the last part of where it is mounted" },
    {}
};

static bool is_stlink(const char *place, const void *user)
{
    const struct stlink *stlink = user;
    const char *name = strrchr(place, '/');

    name = name ? name + 1 : place;
    if (stlink->volume_name)
        return strcasecmp(name, stlink->volume_name) == 0;
    return strncasecmp(name, "NOD_", 4) == 0 || strncasecmp(name, "DIS_", 4) == 0 ||
           strncasecmp(name, "NUCLEO", 6) == 0 || jmp_volume_has(place, "MBED.HTM") ||
           jmp_volume_has(place, "DETAILS.TXT");
}

static int find(const struct stlink *stlink, struct jmp_call *call, char place[PATH_MAX])
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_volume_find("", is_stlink, stlink, place, &error) < 0)
        return jmp_call_fail(call, error.error == -ENOTUNIQ ? -EINVAL : error.error, "ST-LINK: %s", error.text);
    return 0;
}

static int stlink_info(void *self, struct jmp_call *call)
{
    struct jmp_writer *reply = jmp_call_reply(call);
    char place[PATH_MAX];
    int r;

    r = find(self, call, place);
    if (r < 0)
        return r;
    jmp_writer_begin_map(reply);
    r = jmp_volume_info(place, "DETAILS.TXT", reply);
    if (r < 0 && r != -ENOENT) /* some have none */
        return jmp_call_fail(call, r, "%s/DETAILS.TXT cannot be read: %m", place);
    jmp_writer_key(reply, "mount_point");
    jmp_writer_string(reply, place);
    jmp_writer_end_map(reply);
    return 0;
}

static int stlink_flash(void *self, struct jmp_call *call)
{
    const char *target = jmp_call_string(call, "target");
    const char *name = target && *target ? target : DEFAULT_NAME;
    const char *end = strrchr(name, '.');
    _cleanup_free_ uint8_t *data = NULL;
    char place[PATH_MAX];
    size_t size;
    int r;

    if (strchr(name, '/') || name[0] == '.' || strlen(name) > 100 || !end ||
        (strcasecmp(end, ".bin") != 0 && strcasecmp(end, ".hex") != 0))
        return jmp_call_fail(call, -EINVAL,
                             "\"%.100s\" is not the name of a .bin or .hex file, which is all that an ST-LINK takes",
                             name);
    r = find(self, call, place);
    if (r == 0)
        r = jmp_volume_receive(call, "source", FIRMWARE_MAX, &data, &size);
    return r < 0 ? r : jmp_volume_write(call, place, name, data, size, true);
}

static int stlink_dump(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "an ST-LINK's disk does not give the flash back");
}

static const struct jmp_method stlink_methods[] = {
    { .name = "info", .call = stlink_info },
    { .name = "flash", .args = { { "source", JMP_NODE }, { "target", JMP_STRING, true } }, .call = stlink_flash },
    { .name = "dump", .args = { { "sink", JMP_NODE }, { "partition", JMP_STRING, true } }, .call = stlink_dump },
    {}
};

const struct jmp_driver_class jmp_stlink_msd_class = {
    JMP_DRIVER_HEAD,
    .name = "stlink-msd",
    .kind = "storage",
    .size = sizeof(struct stlink),
    .python_type = "jumpstarter_driver_stlink_msd.driver.StlinkMsdFlasher",
    .client = "jumpstarter_driver_stlink_msd.client.StlinkMsdFlasherClient",
    .help = "programs a board through the disk that its ST-LINK pretends to be",
    .options = stlink_options,
    .methods = stlink_methods,
};
