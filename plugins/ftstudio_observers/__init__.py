"""x"""
from ftstudio.api import hookimpl
@hookimpl
def ftstudio_observers():
    return []
