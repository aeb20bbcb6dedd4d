/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

/* "0.0" for a setting that is its interface's first, "0/1" for another, " 81:2" for an endpoint and its type. */
static void tell(const struct jmp_usb_config *config, char *ret, size_t size)
{
    struct jmp_usb_part part = { 0 };
    size_t used = 0;

    *ret = '\0';
    while (jmp_usb_config_next(config, &part) && used < size) {
        if (part.endpoint)
            used += (size_t)snprintf(ret + used, size - used, " %02x:%u", part.endpoint, part.type);
        else
            used += (size_t)snprintf(ret + used, size - used, "%s%u%c%u %02x/%02x/%02x", used > 0 ? ", " : "",
                                     part.interface, part.first ? '.' : '/', part.alternate, part.class, part.subclass,
                                     part.protocol);
    }
}

#define CONFIG(total) 9, 2, total, 0, 2, 1, 0, 0x80, 50
#define SETTING(interface, alternate) 9, 4, interface, alternate, 1, 0xff, 1, 2, 0
#define BULK_IN 7, 5, 0x81, 2, 0, 2, 0

JMP_TEST(what_makes_sense_is_found_and_the_rest_left_out)
{
    static const struct {
        const char *what;
        uint8_t data[80];
        size_t size;
        const char *expected;
    } rows[] = {
        { "two settings",
          { CONFIG(48), SETTING(0, 0), BULK_IN, SETTING(0, 1), BULK_IN, 7, 5, 0x02, 0x0d, 0, 2, 1 },
          48,
          "0.0 ff/01/02 81:2, 0/1 ff/01/02 81:2 02:1" },
        { "descriptors of a class between",
          { CONFIG(34), SETTING(3, 0), 5, 0x24, 0, 1, 1, BULK_IN, 3, 0x0b, 1 },
          33,
          "3.0 ff/01/02 81:2" },
        { "an endpoint of audio, which is longer",
          { CONFIG(27), SETTING(1, 1), 9, 5, 0x83, 1, 0, 2, 1, 0, 0 },
          27,
          "1.1 ff/01/02 83:1" },
        { "fewer endpoints than said, and none", { CONFIG(18), SETTING(0, 0) }, 18, "0.0 ff/01/02" },
        { "an endpoint 0", { CONFIG(25), SETTING(0, 0), 7, 5, 0x80, 2, 0, 2, 0 }, 25, "0.0 ff/01/02" },
        { "an endpoint of no interface", { CONFIG(25), BULK_IN, SETTING(0, 0) }, 25, "0.0 ff/01/02" },
        { "an interface twice", { CONFIG(27), SETTING(0, 0), SETTING(0, 0) }, 27, "0.0 ff/01/02, 0/0 ff/01/02" },
        { "a number far away", { CONFIG(27), SETTING(200, 0), SETTING(255, 0) }, 27, "200.0 ff/01/02, 255.0 ff/01/02" },
        { "half an interface", { CONFIG(18), SETTING(0, 0), 8, 4, 1, 0, 0, 0, 0, 0 }, 26, "0.0 ff/01/02" },
        { "longer than there is", { CONFIG(18), SETTING(0, 0), 9, 4, 1 }, 21, "0.0 ff/01/02" },
        { "zeros", { CONFIG(36), SETTING(0, 0), 0, 0, 9, 4 }, 22, "0.0 ff/01/02" },
        { "a length of one", { CONFIG(36), 1, 4, SETTING(0, 0) }, 20, "" },
        { "one byte", { 9 }, 1, "" },
        { "nothing", { 0 }, 0, "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const struct jmp_usb_config config = { .data = (uint8_t *)rows[i].data, .size = rows[i].size };
        char text[256];

        tell(&config, text, sizeof(text));
        if (strcmp(text, rows[i].expected) != 0)
            fail_msg("%s: %s", rows[i].what, text);
    }
}

JMP_TEST(a_configuration_is_found_by_its_value)
{
    static const uint8_t device[18] = { 18, 1 };
    static const uint8_t first[] = { 9, 2, 18, 0, 1, 1, 0, 0x80, 50, SETTING(0, 0) };
    static const uint8_t second[] = { 9, 2, 40, 0, 1, 5, 0, 0x80, 50, SETTING(7, 0) }; /* longer than it is */
    _cleanup_close_ int fd = memfd_create("usbfs", MFD_CLOEXEC);
    struct jmp_usb_config config;
    char text[64];

    assert_true(fd >= 0);
    assert_int_equal(write(fd, device, sizeof(device)), sizeof(device));
    assert_int_equal(jmp_usb_config_read(fd, 1, &config), -ENOENT);
    assert_int_equal(write(fd, first, sizeof(first)), sizeof(first));
    assert_int_equal(write(fd, second, sizeof(second)), sizeof(second));

    assert_int_equal(jmp_usb_config_read(fd, 1, &config), 0);
    assert_int_equal(config.size, sizeof(first));
    assert_memory_equal(config.data, first, sizeof(first));
    jmp_usb_config_clear(&config);
    assert_int_equal(jmp_usb_config_read(fd, 5, &config), 0);
    assert_int_equal(config.size, sizeof(second));
    tell(&config, text, sizeof(text));
    assert_string_equal(text, "7.0 ff/01/02");
    jmp_usb_config_clear(&config);

    assert_int_equal(jmp_usb_config_read(fd, 2, &config), -ENOENT);
    assert_int_equal(jmp_usb_config_read(fd, 0, &config), 0);
    assert_int_equal(config.size, 0);
    tell(&config, text, sizeof(text));
    assert_string_equal(text, "");
    assert_int_equal(jmp_usb_config_read(-1, 1, &config), -EBADF);
}

JMP_TEST(interfaces_with_high_numbers_are_found)
{
    static uint8_t data[] = { CONFIG(45), SETTING(0, 0), SETTING(31, 0), SETTING(200, 0), SETTING(33, 0) };
    const struct jmp_usb_config config = { .data = data, .size = sizeof(data) }, none = { 0 };

    assert_int_equal(jmp_usb_config_above(&config, 32), 200);
    assert_int_equal(jmp_usb_config_above(&config, 31), 31);
    assert_int_equal(jmp_usb_config_above(&config, 201), -1);
    assert_int_equal(jmp_usb_config_above(&none, 0), -1);
}
