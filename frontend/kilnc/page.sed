# A line of the page as a C string.
s/[\"]/\\&/g
s/.*/"&\\n",/
