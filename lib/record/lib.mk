# Objects as stored records: keys, index entries, descriptions; from trees and from bytes.
l := record
OLIBS += $(l)
$(l)_srcs := bytes.c changed.c describe.c tree.c
$(l)_deps := base json schema
$(l)_test_deps := apischema
$(l)_tests := test/record.c
