/* SPDX-License-Identifier: Apache-2.0 */
/* A name server that never answers. In a network of its own the test is that server; who may not have one skips it. */
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/channel.h"
#include "rpc/methods.h"

static const struct {
    const char *path, *text;
} files[] = {
    { "/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n" },
    { "/etc/nsswitch.conf", "hosts: dns\n" },
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Return: the server's socket, which nobody reads; or negative: this machine does not allow it. */
static int be_a_silent_name_server(const char *directory)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(53),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    char path[256];
    int fd;

    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        snprintf(path, sizeof(path), "%s/%zu", directory, i);
        write_file(path, files[i].text);
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        snprintf(path, sizeof(path), "%s/%zu", directory, i);
        if (mount(path, files[i].path, NULL, MS_BIND, NULL) < 0)
            return -errno;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        jmp_close(fd);
        return r;
    }
    return fd;
}

struct waiting {
    struct jmp_loop *loop;
    struct jmp_timer ticks, patience;
    unsigned ticked;
    enum jmp_code code;
};

static void tick(struct jmp_timer *timer)
{
    struct waiting *waiting = CONTAINER_OF(timer, struct waiting, ticks);

    waiting->ticked++;
    jmp_timer_start(waiting->loop, timer, 20 * JMP_USEC_PER_MSEC, tick);
}

static void out_of_patience(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

static void done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct waiting *waiting = user;

    waiting->code = status->code;
    jmp_loop_exit(waiting->loop, 0);
}

JMP_TEST(a_silent_name_server_is_waited_for_until_the_deadline_and_stops_nothing_else)
{
    char directory[] = "/tmp/jmp-rpc-XXXXXX", path[256];
    const struct jmp_channel_options options = { .endpoint = "silent.example:443", .plaintext = true };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct waiting waiting = { .code = JMP_OK };
    struct jmp_channel *channel;
    struct jmp_queue *queue;
    char question[512];
    int fd;

    assert_non_null(mkdtemp(directory));
    fd = be_a_silent_name_server(directory);
    if (fd >= 0) {
        assert_int_equal(jmp_loop_new(&waiting.loop), 0);
        assert_int_equal(jmp_queue_new(waiting.loop, &queue), 0);
        assert_int_equal(jmp_channel_new(queue, &options, &channel, NULL), 0);
        tick(&waiting.ticks);
        assert_int_equal(jmp_channel_unary(channel, &jmp_exporter_get_status, NULL, 300 * JMP_USEC_PER_MSEC,
                                           &request.base, done, &waiting, NULL),
                         0);
        assert_int_equal(jmp_timer_start(waiting.loop, &waiting.patience, 20 * JMP_USEC_PER_SEC, out_of_patience), 0);
        assert_int_equal(jmp_queue_run(queue), 0);
        assert_int_equal(waiting.code, JMP_DEADLINE_EXCEEDED);
        assert_true(waiting.ticked > 1);
        assert_true(recv(fd, question, sizeof(question), MSG_DONTWAIT) > 0);   /* it was asked */
        jmp_timer_close(&waiting.ticks);
        jmp_timer_close(&waiting.patience);
        jmp_channel_free(channel);
        jmp_queue_free(queue);   /* while the name is still being asked for */
        jmp_loop_free(waiting.loop);
        close(fd);
    }
    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        snprintf(path, sizeof(path), "%s/%zu", directory, i);
        unlink(path);
    }
    rmdir(directory);
    if (fd < 0)
        skip();
}
