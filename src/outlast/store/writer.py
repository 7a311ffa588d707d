"""The thread of a process that owns its store connection, and its group commit.

Whatever waits when the thread comes round is committed as one transaction: a busy process pays one flush for many
requests. The door and `enqueue` hand it jobs; everything else goes through `call`. It opens the store when first used,
so that a server that forks after its imports shares no connection. It does not know the supervisor: that is `link`.
"""
