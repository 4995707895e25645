/*
 * pki.c - the keys of every simulated cluster: always the same, as what is made of them is stored.
 *
 * They protect nothing: no connection is ever made.
 */
#include "inside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ofile.h"

static const struct {
	const char	*name;
	const char	*text;
} pki[] = {
	{ "ca.crt",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBejCCAR+gAwIBAgIUBU9GHcqc0TyoPlyqXiHqKcEhS20wCgYIKoZIzj0EAwIw\n"
	  "ETEPMA0GA1UEAwwGc2ltLWNhMCAXDTI2MTEyMTA1NDI0OVoYDzIxMjYxMDI4MDU0\n"
	  "MjQ5WjARMQ8wDQYDVQQDDAZzaW0tY2EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
	  "AARiip9eEzYGQCzC97Kk9s08tIb1awBjejRRwm6GO+lgiP30GEnWYQOe2eCrkrKl\n"
	  "rH2LNJ+T0J10CgHr84l9+yxmo1MwUTAdBgNVHQ4EFgQUhv7xbOpLXBEZLt1P378E\n"
	  "QQGIPUYwHwYDVR0jBBgwFoAUhv7xbOpLXBEZLt1P378EQQGIPUYwDwYDVR0TAQH/\n"
	  "BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAzqGF/6E1k6gdF3clkXMCbe/QXOGL\n"
	  "JFgUJ3PIHqufi90CIQCVpioP2MJUHk3FsTNTc3vkUtHvCxS6mWY9yK/N+JYDiw==\n"
	  "-----END CERTIFICATE-----\n" },
	{ "server.crt",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBjDCCATOgAwIBAgIBAjAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZzaW0tY2Ew\n"
	  "IBcNMjYxMTIxMDU0MjQ5WhgPMjEyNjEwMjgwNTQyNDlaMA4xDDAKBgNVBAMMA3Np\n"
	  "bTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAsyiFAlPM7aR78mj8m7mXGmehAx\n"
	  "beC+1bBlydjb8vdbEyzaO98GLkd5cORZJhdCaA1g1oe3VjNzauvyrqXGsN2jfTB7\n"
	  "MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHSUEFjAUBggrBgEFBQcD\n"
	  "AQYIKwYBBQUHAwIwHQYDVR0OBBYEFMmM7+QvEEtS6Er4A3XuoRivwv91MB8GA1Ud\n"
	  "IwQYMBaAFIb+8WzqS1wRGS7dT9+/BEEBiD1GMAoGCCqGSM49BAMCA0cAMEQCIEjf\n"
	  "U6XzVTIELewy5D3eZQkopvNo8PAD/3Dl79JLOVeeAiB07SkAPmrTaXwk9DK0UGA1\n"
	  "6q+vik/V4tv7Me1R5WBjKw==\n"
	  "-----END CERTIFICATE-----\n" },
	{ "server.key",
	  "-----BEGIN PRIVATE KEY-----\n"
	  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqQPKRaS7WulxJPNQ\n"
	  "uuUoaLjc9mbcOvP3TG2AP+DN8kyhRANCAAQLMohQJTzO2ke/Jo/Ju5lxpnoQMW3g\n"
	  "vtWwZcnY2/L3WxMs2jvfBi5HeXDkWSYXQmgNYNaHt1Yzc2rr8q6lxrDd\n"
	  "-----END PRIVATE KEY-----\n" },
	{ "sa.key",
	  "-----BEGIN PRIVATE KEY-----\n"
	  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWdAwBYECWyfLbjcu\n"
	  "LWrdVb8FDnE+5Mm2uLSikiB8xJmhRANCAASgYPVMVFq5EsDm35fcakS0wlZYxrTL\n"
	  "OJrOLcuh9phPpH6muZTK2PdcOMaTHEyXNil0YPMu6rk3gOUEvJfY+Uya\n"
	  "-----END PRIVATE KEY-----\n" },
};

int sim_pki_write(const char *dir)
{
	char path[200];
	int r;

	if (mkdir(dir, 0700) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(pki) / sizeof(pki[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, pki[i].name);
		r = ofile_write(AT_FDCWD, path, pki[i].text, strlen(pki[i].text), 0600);
		if (r)
			return r;
	}
	return 0;
}
