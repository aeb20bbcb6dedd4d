/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <pty.h>
#include <stdatomic.h>
#include <string.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/usb/relay_proto.h"

JMP_TEST(frames_have_their_sum)
{
    uint8_t frame[JMP_RELAY_FRAME_SIZE];

    jmp_relay_frame(1, true, frame);
    assert_memory_equal(frame, "\xa0\x01\x01\xa2", 4);
    jmp_relay_frame(8, false, frame);
    assert_memory_equal(frame, "\xa0\x08\x00\xa8", 4);
    jmp_relay_frame_status(frame);
    assert_memory_equal(frame, "\xa0\x0f\x02\xb1", 4);
}

JMP_TEST(boards_are_understood_however_they_write)
{
    static const struct {
        const char *text;
        unsigned told, states;
    } rows[] = {
        { "CH1: ON\r\nCH2: OFF\r\n", 3, 1 },
        { "CH1:OFF\r\nCH2:ON\r\n", 3, 2 },
        { "ch1: on", 1, 1 },
        { "CH1: O", 0, 0 },
        { "CH1: ON\nCH2: OF", 1, 1 },
        { "\x01\x02"
          "CH8: ON",
          0x80, 0x80 },
        { "CH1: ON\nCH1: OFF\n", 1, 0 },
        { "CH9: ON", 0, 0 },
        { "CH0: ON", 0, 0 },
        { "CHCH1: ON", 1, 1 },
        { "", 0, 0 },
        { "CH1:", 0, 0 },
        { "error", 0, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        unsigned states = 99, told = jmp_relay_parse(rows[i].text, strlen(rows[i].text), &states);

        if (told != rows[i].told || states != rows[i].states)
            fail_msg("row %zu: told %x, states %x", i, told, states);
    }
    assert_string_equal(jmp_relay_word(3, 3), "on");
    assert_string_equal(jmp_relay_word(3, 0), "off");
    assert_string_equal(jmp_relay_word(3, 2), "partial");
    assert_string_equal(jmp_relay_word(1, 2), "off");
}

JMP_TEST(options_are_those_of_the_stock_drivers)
{
    static const struct {
        const struct jmp_driver_class *driver;
        const char *config, *says;
    } rows[] = {
        { &jmp_relay_noyito_hid_class, "{\"num_channels\": 8, \"channel\": 8}", NULL },
        { &jmp_relay_noyito_hid_class, "{\"num_channels\": 5}", "num_channels" },
        { &jmp_relay_noyito_hid_class, "{\"channel\": 5}", "channel" },
        { &jmp_relay_noyito_hid_class, "{\"channel\": 0}", "channel" },
        { &jmp_relay_noyito_serial_class, "{\"port\": \"/dev/ttyUSB0\", \"channel\": 2}", NULL },
        { &jmp_relay_noyito_serial_class, "{\"port\": \"/dev/ttyUSB0\", \"channel\": 3}", "channel" },
        { &jmp_relay_noyito_serial_class, "{\"port\": \"/dev/ttyUSB0\", \"channel\": 0}", "channel" },
        { &jmp_relay_noyito_serial_class, "{\"port\": \"x\", \"channel\": 3, \"all_channels\": true}", NULL },
        { &jmp_relay_noyito_serial_class, "{}", "port" },
        { &jmp_relay_lcus_class, "{\"port\": \"/dev/ttyUSB0\", \"num_channels\": 4, \"channel\": 4}", NULL },
        { &jmp_relay_lcus_class, "{\"port\": \"/dev/ttyUSB0\", \"num_channels\": 2, \"channel\": 4}", "channel" },
        { &jmp_ykush_class, "{\"port\": \"2\", \"default\": \"keep\"}", NULL },
        { &jmp_ykush_class, "{\"port\": \"4\"}", "port" },
        { &jmp_ykush_class, "{\"default\": \"maybe\"}", "default" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *problem = device_problem(rows[i].driver, rows[i].config);

        if (!rows[i].says != !problem || (problem && !strstr(problem, rows[i].says)))
            fail_msg("row %zu: %s", i, problem ?: "no problem");
    }
}

/* A board on a terminal that tells what its two channels are. That it switches cannot be seen here: closing a
 * pseudo-terminal throws away what its other side has not read yet, which no adapter does. */
struct board {
    int fd;
    atomic_bool mute;
    atomic_uint states;
    pthread_t thread;
};

static void *play(void *user)
{
    struct board *board = user;
    uint8_t byte;

    while (read(board->fd, &byte, 1) == 1)
        if (byte == JMP_RELAY_STATUS_BYTE && !board->mute)
            dprintf(board->fd, "CH1: %s\r\nCH2: %s\r\n", board->states & 1 ? "ON" : "OFF",
                    board->states & 2 ? "ON" : "OFF");
    return NULL;
}

static void expect_status(struct device *device, const char *word)
{
    assert_int_equal(device_call(device, "status", NULL), 0);
    assert_string_equal(jmp_node_string(device_result(device)), word);
}

JMP_TEST(a_serial_board_is_asked_by_several_devices)
{
    _cleanup_(device_freep) struct device *one = NULL, *all = NULL;
    struct board board = { 0 };
    char path[64], config[128];
    int slave;

    assert_int_equal(openpty(&board.fd, &slave, path, NULL, NULL), 0);
    assert_int_equal(pthread_create(&board.thread, NULL, play, &board), 0);
    snprintf(config, sizeof(config), "{\"port\": \"%s\", \"channel\": 2}", path);
    one = device_new(&jmp_relay_noyito_serial_class, config);
    snprintf(config, sizeof(config), "{\"port\": \"%s\", \"all_channels\": true}", path);
    all = device_new(&jmp_relay_noyito_serial_class, config);
    assert_int_equal(device_open(one), 0);
    assert_int_equal(device_open(all), 0); /* the port is shared */

    expect_status(one, "off");
    board.states = 2;
    expect_status(one, "on");
    expect_status(all, "partial");
    board.states = 3;
    expect_status(all, "on");
    board.states = 1;
    expect_status(one, "off");
    assert_int_equal(device_call(one, "read", NULL), -EOPNOTSUPP);

    board.mute = true;
    assert_int_equal(device_call(one, "status", NULL), -EINVAL);
    assert_non_null(strstr(device_error(one), "does not tell"));

    close(slave);
    pthread_join(board.thread, NULL); /* hung up */
    close(board.fd);
}

JMP_TEST(boards_that_are_not_there_are_gone)
{
    static const struct {
        const struct jmp_driver_class *driver;
        const char *config;
    } rows[] = {
        { &jmp_relay_noyito_hid_class, "{\"vendor_id\": 1, \"product_id\": 1}" },
        { &jmp_relay_lcus_class, "{\"port\": \"/dev/no-such-port\"}" },
        { &jmp_ykush_class, "{\"serial\": \"no such hub\"}" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(device_freep) struct device *device = device_new(rows[i].driver, rows[i].config);

        assert_int_equal(device_open(device), -ENODEV);
        assert_int_equal(device_call(device, "on", NULL), -ENODEV);
        assert_true(*device_error(device));
    }
}
