/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_input.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

#define HEADER 48u

struct peer {
    struct jmp_usbip_input input;
    int client;
    /* Byte that is sent, and taken, next: they count, so that nothing can be lost or come twice. */
    uint8_t next, wanted;
};

static void setup(struct peer *peer)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *peer = (struct peer){ .input.fd = pair[0], .client = pair[1] };
}

static void teardown(struct peer *peer)
{
    close(peer->input.fd);
    if (peer->client >= 0)
        close(peer->client);
}

static void say(struct peer *peer, size_t size)
{
    uint8_t data[16384];

    for (size_t i = 0; i < size; i++)
        data[i] = peer->next++;
    assert_int_equal(send(peer->client, data, size, 0), (ssize_t)size);
    jmp_usbip_input_news(&peer->input);
}

static ssize_t take(struct peer *peer, size_t size)
{
    uint8_t data[16384];
    ssize_t n = jmp_usbip_input_take(&peer->input, data, size);

    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(data[i], peer->wanted++);
    return n;
}

JMP_TEST(takes_what_came)
{
    /* How much is said at once, what is asked for each time, and in what pieces it comes. */
    static const struct {
        size_t said, asked;
        ssize_t taken[5]; /* ends with 0 */
    } rows[] = {
        { HEADER, HEADER, { HEADER } },
        { 3 * HEADER, HEADER, { HEADER, HEADER, HEADER } },
        { HEADER + 10, HEADER, { HEADER, 10 } },
        { 10, HEADER, { 10 } },
        { 4096, 4096, { 4096 } },       /* straight, without a copy */
        { 4096 + 5, 4096, { 4096, 5 } },
        { 8192, 4095, { 4095, 1, 4095, 1 } },
        { 10000, 16384, { 10000 } },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct peer peer;

        setup(&peer);
        say(&peer, rows[i].said);
        for (const ssize_t *taken = rows[i].taken; *taken; taken++)
            assert_int_equal(take(&peer, rows[i].asked), *taken);
        assert_int_equal(jmp_usbip_input_waiting(&peer.input), 0);
        assert_int_equal(take(&peer, rows[i].asked), -EAGAIN);
        teardown(&peer);
    }
}

JMP_TEST(data_follow_their_header)
{
    struct peer peer;

    setup(&peer);
    say(&peer, HEADER + 12000);
    assert_int_equal(take(&peer, HEADER), HEADER);
    assert_int_equal(jmp_usbip_input_waiting(&peer.input), 4096 - HEADER);
    assert_int_equal(take(&peer, 12000), 4096 - HEADER);
    assert_int_equal(take(&peer, 12000 - (4096 - HEADER)), 12000 - (4096 - HEADER));
    teardown(&peer);
}

/* It is not asked for what it has no news of. */
JMP_TEST(news_are_needed)
{
    struct peer peer;
    uint8_t byte = 0;

    setup(&peer);
    say(&peer, HEADER);
    assert_int_equal(take(&peer, HEADER), HEADER);
    peer.next++;
    assert_int_equal(send(peer.client, memset(&byte, HEADER, 1), 1, 0), 1);
    assert_int_equal(take(&peer, HEADER), -EAGAIN);
    jmp_usbip_input_news(&peer.input);
    assert_int_equal(take(&peer, HEADER), 1);
    teardown(&peer);
}

JMP_TEST(the_end_comes_last)
{
    struct peer peer;

    setup(&peer);
    say(&peer, HEADER + 1);
    close(peer.client);
    peer.client = -1;
    assert_int_equal(take(&peer, HEADER), HEADER);
    assert_int_equal(take(&peer, HEADER), 1);
    assert_int_equal(take(&peer, HEADER), -EAGAIN);
    jmp_usbip_input_news(&peer.input);
    assert_int_equal(take(&peer, HEADER), 0);
    assert_int_equal(take(&peer, HEADER), 0);
    teardown(&peer);
}
