"""The store of what must outlive a machine or be read on another one: a folder that machines share, or a bucket.

`store` has the operations, `folder` and `objects` the two backends, `opening` makes one by the settings. What is put
where is `layout`'s; when, and who reads it, is decided by the callers. fsspec is imported only where a bucket is named.
"""
