# Regular expressions of user names, and the real server of each: the first that matches counts.
#^[a-k]: localhost
#^[^a-k]: localhost:110
#^user: user2@localhost
#(.*)@(.*): $1_$2@localhost
