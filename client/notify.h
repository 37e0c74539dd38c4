/* client/notify.h - telling systemd (or whoever set $NOTIFY_SOCKET) how a daemon fares. */
#ifndef SHOAL_CLIENT_NOTIFY_H
#define SHOAL_CLIENT_NOTIFY_H

/* "READY=1", "STOPPING=1". Nothing happens where nobody listens. */
void notify_state(const char *state);
#endif
