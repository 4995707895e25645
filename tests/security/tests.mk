# Classes of mistakes that have had a CVE elsewhere, each tried here (sec.py).
security_programs := $(addprefix tests/security/,cve-2018-1002105.py cve-2019-11247.py cve-2019-11253.py cve-2020-8554.py cve-2020-8559.py cve-2021-25740.py cve-2021-25735.py cve-2021-25743.py cve-2022-3294.py cve-2023-44487.py anonymous.py slow-clients.py)
CHECK_LONG_SCRIPTS += $(security_programs)
SANITIZER_SCRIPTS += $(security_programs)
