# Map of users and real servers for map_library libperditiondb_posix_regex.so.0.
#
# A line holds an extended POSIX expression, perhaps a colon, white space, and where the user's mail
# is: [USER<domain_delimiter>]SERVER[:PORT]. The first line whose expression matches counts. $1 to $9
# stand for what matched its parentheses, $0 for all that matched.
#
# An expression matches anywhere in a name unless it is anchored with ^ and $. What stands before the
# match goes before the result, so anchor it.
#
# # begins a comment; quotes, or a backslash before a character, take its meaning away: write an
# expression with backslashes in single quotes. A backslash at the end of a line joins it with the
# next.

#^user$: user2@localhost
#^(.*)@(.*)$: $1_$2@localhost
#^[a-k]: localhost
#^[^a-k]: localhost:110
