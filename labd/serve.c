/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/process.h"
#include "labd/ca.h"
#include "labd/service.h"
#include "rpc/methods.h"
#include "rpc/server.h"

const struct jmp_handler jmp_labd_handlers[] = {
    { &jmp_controller_register, jmp_on_register },
    { &jmp_controller_unregister, jmp_on_unregister },
    { &jmp_controller_report_status, jmp_on_report_status },
    { &jmp_controller_status, jmp_on_status },
    { &jmp_controller_listen, jmp_on_listen },
    { &jmp_controller_dial, jmp_on_dial },
    { &jmp_controller_get_lease, jmp_on_get_lease },
    { &jmp_controller_request_lease, jmp_on_request_lease },
    { &jmp_controller_release_lease, jmp_on_release_lease },
    { &jmp_controller_list_leases, jmp_on_list_leases },
    { &jmp_controller_get_service_endpoints, jmp_on_get_service_endpoints },
    { &jmp_client_get_exporter, jmp_on_client_get_exporter },
    { &jmp_client_list_exporters, jmp_on_client_list_exporters },
    { &jmp_client_get_lease, jmp_on_client_get_lease },
    { &jmp_client_list_leases, jmp_on_client_list_leases },
    { &jmp_client_create_lease, jmp_on_client_create_lease },
    { &jmp_client_update_lease, jmp_on_client_update_lease },
    { &jmp_client_delete_lease, jmp_on_client_delete_lease },
    { &jmp_client_rotate_token, jmp_on_client_rotate_token },
    { &jmp_router_stream, jmp_on_router_stream },
    {},
};

struct service {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_lab *lab;
    struct jmp_server *server;
    int lock;
};

int jmp_endpoint_split(const char *endpoint, char **rethost, unsigned *retport, struct jmp_error *reterr)
{
    const char *colon = strrchr(endpoint, ':'), *host = endpoint;
    size_t length = colon ? (size_t)(colon - endpoint) : 0;
    unsigned long port;
    char *end;
    int r;

    if (colon && length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    } else if (colon && memchr(host, ':', length)) {
        colon = NULL;   /* an IPv6 address without brackets could mean two things */
    }
    port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : UINT16_MAX + 1ul;
    if (length == 0 || length > 253 || port > UINT16_MAX || *end != '\0') {
        r = jmp_error_set(reterr, -EINVAL, "\"%.260s\" is no HOST:PORT", endpoint);
        jmp_error_hint(reterr, "for instance lab.example.com:" JMP_LABD_PORT ", 192.0.2.7:" JMP_LABD_PORT
                               " or [::]:" JMP_LABD_PORT);
        return r;
    }

    *rethost = strndup(host, length);
    if (!*rethost)
        return -ENOMEM;
    *retport = (unsigned)port;
    return 0;
}

/* The address that would be the source of packets to the world; nothing is sent. */
static bool outward_address(char ret[INET6_ADDRSTRLEN])
{
    struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = htons(9) }, near;
    socklen_t length = sizeof(near);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "192.0.2.1", &far.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&far, sizeof(far)) < 0 ||
        getsockname(fd, (struct sockaddr *)&near, &length) < 0)
        return false;

    return inet_ntop(AF_INET, &near.sin_addr, ret, INET6_ADDRSTRLEN) != NULL;
}

int jmp_endpoint_guess(const char *host, unsigned port, char **ret)
{
    char address[INET6_ADDRSTRLEN], name[HOST_NAME_MAX + 1] = "localhost";
    char *endpoint;
    int length;

    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        if (outward_address(address)) {
            host = address;
        } else {
            gethostname(name, sizeof(name) - 1);
            host = name;
        }
    }

    length = strchr(host, ':') ? asprintf(&endpoint, "[%s]:%u", host, port) : asprintf(&endpoint, "%s:%u", host, port);
    if (length < 0)
        return -ENOMEM;
    *ret = endpoint;
    return 0;
}

static int take_lock(struct service *service, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (asprintf(&path, "%s/lock", service->lab->directory) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    service->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (service->lock < 0)
        return jmp_error_set(reterr, -errno, "cannot open %s: %m", path);
    if (flock(service->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return jmp_error_set(reterr, -errno, "cannot lock %s: %m", path);

    r = jmp_error_set(reterr, -EBUSY, "another jmp-labd serves %s already", service->lab->directory);
    jmp_error_hint(reterr, "stop it first, or choose another place with --data-dir");
    return r;
}

/* Names given, and those in addresses that people were told. */
static int server_names(const struct jmp_serve_options *options, const char *listen_host, const char *endpoint_host,
                        char ***ret)
{
    const char *extra[JMP_CA_NAMES_MAX + 1] = { NULL };
    size_t count = 0;

    if (endpoint_host)
        extra[count++] = endpoint_host;
    if (strcmp(listen_host, "0.0.0.0") != 0 && strcmp(listen_host, "::") != 0)
        extra[count++] = listen_host;
    for (size_t i = 0; options->names && options->names[i] && count < JMP_CA_NAMES_MAX; i++)
        extra[count++] = options->names[i];

    return jmp_ca_local_names(extra, ret);
}

static int set_up(struct service *service, const struct jmp_serve_options *options, struct jmp_error *reterr)
{
    const struct jmp_server_options server = { .handlers = jmp_labd_handlers, .user = service->lab };
    _cleanup_(jmp_ca_clear) struct jmp_ca ca = { 0 };
    _cleanup_(jmp_ca_names_freep) char **names = NULL;
    _cleanup_free_ char *host = NULL, *endpoint_host = NULL, *address = NULL;
    struct jmp_lab *lab = service->lab;
    unsigned port, wanted, unused;
    bool issued;
    int r;

    if ((r = jmp_endpoint_split(options->listen, &host, &wanted, reterr)) < 0)
        return r;
    if (options->endpoint && (r = jmp_endpoint_split(options->endpoint, &endpoint_host, &unused, reterr)) < 0)
        return r;
    if ((r = take_lock(service, reterr)) < 0 || (r = server_names(options, host, endpoint_host, &names)) < 0 ||
        (r = jmp_ca_open(lab->directory, (const char *const *)names, &ca, &issued, reterr)) < 0)
        return r;
    if (issued)
        jmp_log(JMP_LOG_INFO, NULL, "issued a server certificate for this machine's names");

    if ((r = jmp_server_new(service->queue, &server, &service->server)) < 0 ||
        (r = jmp_server_listen(service->server, options->listen, ca.chain, ca.key, &port, reterr)) < 0)
        return r;

    if ((r = jmp_endpoint_guess(host, port, &lab->fallback)) < 0)
        return r;
    if (options->endpoint && !(lab->endpoint = strdup(options->endpoint)))
        return -ENOMEM;
    r = jmp_store_set_meta(lab->store, "endpoint", lab->endpoint ? lab->endpoint : lab->fallback);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot note the address: %s", jmp_store_reason(lab->store));

    /* Before anybody can call: what ended while we were away must not be handed out. */
    if ((r = jmp_lab_start(lab, reterr)) < 0 || (r = jmp_server_start(service->server)) < 0)
        return r;

    r = strchr(host, ':') ? asprintf(&address, "[%s]:%u", host, port) : asprintf(&address, "%s:%u", host, port);
    if (r < 0) {
        address = NULL;
        return -ENOMEM;
    }
    jmp_log(JMP_LOG_INFO, FIELDS(.endpoint = address), "listening on %s", address);
    sd_notifyf(false, "READY=1\nSTATUS=Listening on %s", address);
    return 0;
}

static void stopped(void *user)
{
    struct service *service = user;

    jmp_loop_exit(service->loop, 0);
}

static void on_signal(int signal, void *user)
{
    struct service *service = user;

    jmp_log(JMP_LOG_INFO, NULL, "stopping on %s", strsignal(signal));
    sd_notify(false, "STOPPING=1\nSTATUS=Stopping");
    if (service->server)
        jmp_server_shutdown(service->server, 0, stopped, service);
    else
        jmp_loop_exit(service->loop, 0);
}

int jmp_serve(const struct jmp_serve_options *options, struct jmp_error *reterr)
{
    struct service service = { .lock = -EBADF };
    int r;

    signal(SIGPIPE, SIG_IGN);
    r = jmp_process_raise_descriptors();
    if (r < 0)
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = r), "the limit of open files stays as it is");
    r = jmp_loop_new(&service.loop);
    if (r == 0)
        r = jmp_loop_signal(service.loop, SIGTERM, on_signal, &service);
    if (r == 0)
        r = jmp_loop_signal(service.loop, SIGINT, on_signal, &service);
    if (r == 0)
        r = jmp_lab_open(options->directory, options->namespace_, service.loop, &service.lab, reterr);
    if (r == 0)
        r = jmp_queue_new(service.loop, &service.queue);
    if (r == 0)
        r = set_up(&service, options, reterr);
    if (r == 0) {
        r = sd_event_set_watchdog(jmp_loop_event(service.loop), true);
        if (r < 0)
            jmp_error_set(reterr, r, "the watchdog cannot be fed");
    }
    if (r >= 0)
        r = jmp_queue_run(service.queue);

    /* Calls end before what they use. */
    jmp_server_free(service.server);
    jmp_lab_free(service.lab);
    jmp_queue_free(service.queue);
    jmp_loop_free(service.loop);
    jmp_close(service.lock);
    return r;
}
